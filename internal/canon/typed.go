package canon

import "reflect"

// Typed is a Codec whose type is known at compile time.
type Typed[T any] struct{ codec *Codec }

// Of returns the codec of T. Like [For] it compiles T once and panics if
// [Codec] does not support T.
func Of[T any]() Typed[T] { return Typed[T]{For(reflect.TypeFor[T]())} }

// Append is [Codec.Append] of *v.
func (c Typed[T]) Append(b []byte, v *T, m Mode) []byte {
	return c.codec.Append(b, reflect.ValueOf(v).Elem(), m)
}

// Decode is [Codec.Decode] into *v.
func (c Typed[T]) Decode(raw []byte, v *T, m Mode) []FieldError {
	return c.codec.Decode(raw, reflect.ValueOf(v).Elem(), m)
}

// Schema is [Codec.Schema].
func (c Typed[T]) Schema() []byte { return c.codec.Schema() }
