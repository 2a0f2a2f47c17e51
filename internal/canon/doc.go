// Package canon writes canonical JSON (RFC 8785) and reads JSON strictly (RFC
// 7493), over a small data model. Its output is hashed, so no formatting is
// left to a library: a value has the same bytes in every later version.
//
// [Canonicalize] and [StripZero] work on any JSON. A [Codec] encodes and
// decodes one Go type by a plan that is compiled once; its errors point at the
// fault by JSON Pointer (RFC 6901).
//
// A number is what it evaluates to as a double, so 1.0 and 1e2 count as
// integers, as they do in canonical form.
package canon
