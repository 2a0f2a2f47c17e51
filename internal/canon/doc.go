// Package canon writes canonical JSON (RFC 8785) and reads JSON strictly (RFC
// 7493), over a small data model. Its bytes are hashed, so it never leaves a
// choice to a library's formatting: the same value has the same bytes in every
// later version.
//
// There are two roads. [Canonicalize] and [StripZero] bring any JSON into
// form. A [Codec] encodes and decodes one Go type by a plan that is compiled
// once; it names what is wrong with bad input by JSON Pointer (RFC 6901).
//
// A number is what it evaluates to as a double: 1.0 and 1e2 are integers here,
// as they are once they have been canonicalised.
package canon
