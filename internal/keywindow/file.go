package keywindow

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strconv"
)

// A file consists of magic, index, length of since, since, count, records, and
// the SHA-256 of everything before. Integers are big-endian; since is a stamp's
// text, empty for the zero stamp.
const magic = "swoosh keys 1\n"

const recordBytes = 16 + 8 + 8 + 2

// Write writes the view as a file; index is the entry it belongs to.
func (v View) Write(to io.Writer, index uint64) error {
	sum := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(to, sum), 1<<16)
	since := v.since.text()
	b := binary.BigEndian.AppendUint64([]byte(magic), index)
	b = append(append(b, byte(len(since))), since...)
	b = binary.BigEndian.AppendUint64(b, uint64(v.len))
	buf.Write(b)
	for i := range v.len {
		at := v.head + i
		r := &v.chunks[at/len(chunk{})][at%len(chunk{})]
		b = append(b[:0], r.key[:]...)
		b = binary.BigEndian.AppendUint64(b, r.index)
		b = binary.BigEndian.AppendUint64(b, r.wallMS)
		b = binary.BigEndian.AppendUint16(b, r.counter)
		buf.Write(b)
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	_, err := to.Write(sum.Sum(nil))
	return err
}

var errDamaged = errors.New("its checksum does not match")

// Read reads the window that Write wrote for the entry index. The window holds
// up to MaxKeys keys.
func Read(from io.Reader, index uint64) (*Window, error) {
	in := &summedReader{r: bufio.NewReaderSize(from, 1<<16), sum: sha256.New()}
	head := in.next(len(magic) + 9)
	if in.err != nil || string(head[:len(magic)]) != magic {
		return nil, errDamaged
	}
	if got := binary.BigEndian.Uint64(head[len(magic):]); got != index {
		return nil, fmt.Errorf("it is of entry %d, not %d", got, index)
	}
	since, ok := parseStamp(string(in.next(int(head[len(head)-1]))))
	w := New(MaxKeys, Stamp{})
	count := binary.BigEndian.Uint64(append(in.next(8), make([]byte, 8)...))
	if !ok || count > MaxKeys {
		return nil, errDamaged
	}
	for range count {
		b := in.next(recordBytes)
		if in.err != nil {
			return nil, errDamaged
		}
		w.push(record{keyHash(b[:16]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint16(b[32:])}, "")
	}
	want := in.sum.Sum(nil)
	if got := in.next(len(want)); in.err != nil || !bytes.Equal(got, want) {
		return nil, errDamaged
	}
	w.since = since
	return w, nil
}

// text returns the form of swoosh.Stamp's String, "" for the zero stamp.
func (t Stamp) text() string {
	if t == (Stamp{}) {
		return ""
	}
	return fmt.Sprintf("%012x-%04x-%s", t.WallMS, t.Counter, t.Node)
}

var stampForm = regexp.MustCompile(`^([0-9a-f]{12})-([0-9a-f]{4})-([0-9a-z-]{1,63})$`)

// parseStamp parses the form that text returns, and no other.
func parseStamp(s string) (t Stamp, ok bool) {
	if s == "" {
		return Stamp{}, true
	}
	m := stampForm.FindStringSubmatch(s)
	if m == nil {
		return Stamp{}, false
	}
	wall, _ := strconv.ParseUint(m[1], 16, 64) // Text of this form always parses.
	counter, _ := strconv.ParseUint(m[2], 16, 16)
	return Stamp{wall, uint16(counter), m[3]}, true
}

type summedReader struct {
	r   *bufio.Reader
	sum hash.Hash
	err error
	b   [64 + 256]byte
}

// next returns the next n bytes, or none after an error.
func (s *summedReader) next(n int) []byte {
	if s.err == nil {
		_, s.err = io.ReadFull(s.r, s.b[:n])
	}
	if s.err != nil {
		return nil
	}
	s.sum.Write(s.b[:n])
	return append([]byte(nil), s.b[:n]...)
}
