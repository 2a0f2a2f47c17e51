// Package canon writes canonical JSON (RFC 8785) and reads JSON strictly, over a
// small data model. Its output is hashed, so no formatting is left to a library:
// a value has the same bytes in every later version.
//
// [Canonicalize] works on any JSON. A [Codec] encodes and decodes one Go type by
// a plan that is compiled once; its errors point at the fault by JSON Pointer (RFC
// 6901).
//
// A number is what it evaluates to as a double, so 1.0 and 1e2 count as
// integers, as they do in canonical form. A Go integer takes only those within
// ±(2^53-1), which I-JSON (RFC 7493) considers interoperable; a [JSON] takes all.
package canon
