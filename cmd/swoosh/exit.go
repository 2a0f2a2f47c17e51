package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/chorus-services/swoosh"
)

// The exit codes of every subcommand. Scripts branch on them.
const (
	codeGood        = 0
	codeFailed      = 1 // refused or failed: it did not happen
	codeUsage       = 2 // the command line is wrong
	codeDamaged     = 3 // damage was found, and nothing was thrown away
	codeUnreachable = 4 // no server answers
	codeUnknown     = 5 // it may have happened or not
)

// exit is an error with the code that the program ends with.
type exit struct {
	code int
	error
}

func (e exit) Unwrap() error { return e.error }

// exitf makes an error that ends the program with a code.
func exitf(code int, format string, args ...any) error {
	return exit{code, fmt.Errorf(format, args...)}
}

// exitCode says what an error makes of the program. What nobody gave a code
// is a failure.
func exitCode(err error) int {
	var e exit
	var damage *swoosh.DamageError
	switch {
	case err == nil:
		return codeGood
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &damage):
		return codeDamaged
	}
	return codeFailed
}

// oneLine gives an error's text for a person: one line, without the name of
// the library, which is the program's too, and without anything that a
// terminal would obey. What this user may not do has one way out, wherever it
// comes from.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "swoosh: ")
	text = strings.ReplaceAll(text, ": swoosh: ", ": ")
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	if errors.Is(err, fs.ErrPermission) {
		text += fmt.Sprintf(": run it as the owner, or let the user with id %d do that", os.Geteuid())
	}
	return strings.Map(func(r rune) rune {
		if isCommanding(r) {
			return ' '
		}
		return r
	}, text)
}
