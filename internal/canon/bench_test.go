package canon

import (
	"reflect"
	"testing"
)

// benchPayload is a typical command, canonical, of 241 bytes.
const benchPayload = `{"epoch":7,"forced":true,"hash":"0a0b0c0d","project":"alpha","reason":"the index of the last round was taken from a mirror","seats":{"count":3,"role":"lead"},` +
	`"sources":["oci://registry.example/app:v1.12","oci://registry.example/web:v2.3.4"]}`

var payloadType = reflect.TypeFor[payload]()

func BenchmarkDecode(b *testing.B) {
	c, raw := For(payloadType), []byte(benchPayload)
	var p payload
	v := reflect.ValueOf(&p).Elem()
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if faults := c.Decode(raw, v, Full); faults != nil {
			b.Fatal(faults)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	c := For(payloadType)
	p, _ := decodeInto[payload](benchPayload, Full)
	v := reflect.ValueOf(&p).Elem()
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(benchPayload)))
	for b.Loop() {
		out = c.Append(out[:0], v, Sparse)
	}
}

func BenchmarkCanonicalize(b *testing.B) {
	raw := []byte(benchPayload)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Canonicalize(raw); err != nil {
			b.Fatal(err)
		}
	}
}
