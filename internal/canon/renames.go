package canon

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ReadRenames reads what a struct's field says of names that are no more, in its tag
// swoosh: `was=NAME` on a field gives a name that it had, `removed=NAME` on a blank
// field the name of one that is gone. Several are separated by commas. The mode
// Renamed knows both; all else knows neither.
func ReadRenames(f reflect.StructField) (was, removed []string, err error) {
	text := f.Tag.Get("swoosh")
	if text == "" {
		return nil, nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, name, _ := strings.Cut(part, "=")
		switch blank := f.Name == "_"; {
		case !isMemberName(name):
			return nil, nil, fmt.Errorf("the tag swoosh:%q needs names of a-z, 0-9 and underscore, such as was=color", text)
		case key == "was" && !blank:
			was = append(was, name)
		case key == "removed" && blank:
			removed = append(removed, name)
		case key == "was" || key == "removed":
			return nil, nil, fmt.Errorf(`the tag swoosh:%q is at the wrong place: was=NAME is for a field, removed=NAME for a blank one, _ struct{}`, text)
		default:
			return nil, nil, fmt.Errorf("the tag swoosh:%q is unknown: use was=NAME or removed=NAME", text)
		}
	}
	return was, removed, nil
}

// IsBlank reports whether a field only carries a tag with names that are gone. It has
// no value, so it is not a member.
func IsBlank(f reflect.StructField) bool {
	return f.Name == "_" && f.Type == reflect.TypeFor[struct{}]() && f.Tag.Get("swoosh") != ""
}

// Renames reports whether the type, or one inside it, has names that are no more.
func (c *Codec) Renames() bool { return c.root.renames }

// removedMember is what a name of old stands for if its member is gone.
const removedMember = -1

// compileOld finds the names that are no more.
func (p *plan) compileOld() error {
	for i := range p.typ.NumField() {
		f := p.typ.Field(i)
		was, removed, err := ReadRenames(f)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", p.typ, f.Name, err)
		}
		for _, name := range append(was, removed...) {
			_, member := p.byName[name]
			if _, twice := p.old[name]; member || twice {
				return fmt.Errorf("%s.%s: the name %q has another meaning already: say what becomes of both in a function", p.typ, f.Name, name)
			}
			if p.old == nil {
				p.old, p.renames = map[string]int{}, true
			}
			p.old[name] = slices.IndexFunc(p.fields, func(m field) bool { return m.index == i }) // A blank one is no member.
		}
	}
	return nil
}
