package canon

import "github.com/go-json-experiment/json/jsontext"

// ReadMembers reads the next value of d. If it is an object, ReadMembers calls
// member after each name, and member must read the value. Otherwise it skips
// the value and returns false. err is bad syntax, or an error of d's reader or
// of member.
func ReadMembers(d *jsontext.Decoder, member func(name string) error) (object bool, err error) {
	if d.PeekKind() != jsontext.KindBeginObject {
		return false, d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return true, err
	}
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadToken()
		if err != nil {
			return true, err
		}
		if err := member(name.String()); err != nil {
			return true, err
		}
	}
	_, err = d.ReadToken()
	return true, err
}
