package canon

import (
	"errors"
	"strings"
)

var (
	escapes   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapes = strings.NewReplacer("~1", "/", "~0", "~") // Replaces from left to right, so ~01 becomes ~1, not a slash.
)

// ParsePointer returns the reference tokens of a JSON Pointer (RFC 6901). The
// pointer "" has none and means the whole document. The error's text follows a
// name for p.
func ParsePointer(p string) (tokens []string, err error) {
	if p == "" {
		return nil, nil
	}
	if p[0] != '/' {
		return nil, errors.New("must begin with a slash, such as /domain/table")
	}
	for rest := p; ; {
		at := strings.IndexByte(rest, '~')
		if at < 0 {
			break
		}
		if rest = rest[at+1:]; rest == "" || rest[0] != '0' && rest[0] != '1' {
			return nil, errors.New("must write ~0 for ~ and ~1 for a slash inside a name (RFC 6901)")
		}
	}
	tokens = strings.Split(p[1:], "/")
	for i, t := range tokens {
		tokens[i] = unescapes.Replace(t)
	}
	return tokens, nil
}

// AppendPointer returns the JSON Pointer of a member or element of the value at
// the pointer at.
func AppendPointer(at, token string) string { return at + "/" + escapes.Replace(token) }
