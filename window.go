package swoosh

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// The key window: constants, so that all nodes and all restarts agree.
const (
	windowKeys = 1_000_000
	windowAge  = 24 * time.Hour
)

// window is the index from idempotency keys to entries over the log's tail:
// the last windowKeys keyed entries, none older than windowAge by stamp,
// counted from the newest entry. It is derived from the log. Owned by run.
type window struct {
	max    int
	byKey  map[keyHash]uint64
	chunks []*windowChunk // oldest first
	head   int            // first record in chunks[0]
	len    int
	since  Stamp // of the newest key that fell out; zero while none did
}

// keyHash is the first half of SHA-256 of a key.
type keyHash [16]byte

func hashKey(key string) keyHash {
	h := sha256.Sum256([]byte(key))
	return keyHash(h[:16])
}

// windowChunk is a stretch of the ring. A record is never altered once it is
// in, so a windowView may be read while run adds behind it.
type windowChunk [4096]windowRecord

type windowRecord struct {
	key     keyHash
	index   uint64
	wallMS  uint64
	counter uint16
}

func newWindow() *window { return &window{max: windowKeys, byKey: map[keyHash]uint64{}} }

// find gives the entry that first carried the key.
func (w *window) find(key string) (index uint64, ok bool) {
	index, ok = w.byKey[hashKey(key)]
	return index, ok
}

// expired tells whether a key of that age may have fallen out: the entry it
// would be in has a stamp after keySince.
func (w *window) expired(keySince Stamp) bool {
	return keySince != Stamp{} && w.since.After(keySince)
}

// add takes in an entry, with or without a key. It says whether the key was
// there already: then the log is at fault.
func (w *window) add(key string, index uint64, at Stamp) (known bool) {
	w.expire(at)
	if key == "" {
		return false
	}
	k := hashKey(key)
	if _, known = w.byKey[k]; known {
		return true
	}
	w.push(windowRecord{k, index, at.WallMS, at.Counter}, at.Node)
	return false
}

func (w *window) push(r windowRecord, node string) {
	if w.len == w.max {
		w.drop(node)
	}
	at := w.head + w.len
	if at/len(windowChunk{}) == len(w.chunks) {
		w.chunks = append(w.chunks, new(windowChunk))
	}
	w.chunks[at/len(windowChunk{})][at%len(windowChunk{})] = r
	w.byKey[r.key] = r.index
	w.len++
}

// expire lets the keys go that are too old beside the newest entry.
func (w *window) expire(now Stamp) {
	age := uint64(windowAge.Milliseconds())
	for w.len > 0 && w.chunks[0][w.head].wallMS+age < now.WallMS {
		w.drop(now.Node)
	}
}

// drop lets the oldest key go.
func (w *window) drop(node string) {
	r := w.chunks[0][w.head]
	delete(w.byKey, r.key)
	w.since = Stamp{r.wallMS, r.counter, node}
	w.len--
	if w.head++; w.head == len(windowChunk{}) {
		w.chunks, w.head = w.chunks[1:], 0
	}
}

// view is the window as it is now, for others to read.
func (w *window) view() windowView {
	return windowView{w.chunks, w.head, w.len, w.since}
}

// windowView is an immutable window.
type windowView struct {
	chunks    []*windowChunk
	head, len int
	since     Stamp
}

// The form of a keys file: magic, index, length of since, since, count,
// records, SHA-256 of all before.
const windowMagic = "swoosh keys 1\n"

const windowRecordBytes = 16 + 8 + 8 + 2

// write saves the view, which is that of the entry index.
func (v windowView) write(to io.Writer, index uint64) error {
	sum := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(to, sum), 1<<16)
	since := ""
	if v.since != (Stamp{}) {
		since = v.since.String()
	}
	b := binary.BigEndian.AppendUint64([]byte(windowMagic), index)
	b = append(append(b, byte(len(since))), since...)
	b = binary.BigEndian.AppendUint64(b, uint64(v.len))
	buf.Write(b)
	for i := range v.len {
		at := v.head + i
		r := &v.chunks[at/len(windowChunk{})][at%len(windowChunk{})]
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

var errWindowDamaged = errors.New("its checksum does not match")

// readWindow reads what write saved for the entry index.
func readWindow(from io.Reader, index uint64) (*window, error) {
	in := &summedReader{r: bufio.NewReaderSize(from, 1<<16), sum: sha256.New()}
	head := in.take(len(windowMagic) + 9)
	if in.err != nil || string(head[:len(windowMagic)]) != windowMagic {
		return nil, errWindowDamaged
	}
	if got := binary.BigEndian.Uint64(head[len(windowMagic):]); got != index {
		return nil, fmt.Errorf("it is of entry %d, not %d", got, index)
	}
	w := newWindow()
	since := string(in.take(int(head[len(head)-1])))
	count := binary.BigEndian.Uint64(append(in.take(8), make([]byte, 8)...))
	if count > windowKeys {
		return nil, errWindowDamaged
	}
	for range count {
		b := in.take(windowRecordBytes)
		if in.err != nil {
			return nil, errWindowDamaged
		}
		w.push(windowRecord{keyHash(b[:16]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint16(b[32:])}, "")
	}
	want := in.sum.Sum(nil)
	if got := in.take(len(want)); in.err != nil || !bytes.Equal(got, want) {
		return nil, errWindowDamaged
	}
	if since != "" {
		var err error
		if w.since, err = ParseStamp(since); err != nil {
			return nil, err
		}
	}
	return w, nil
}

type summedReader struct {
	r   *bufio.Reader
	sum hash.Hash
	err error
	b   [64 + 256]byte
}

// take gives the next n bytes, or none after an error.
func (s *summedReader) take(n int) []byte {
	if s.err == nil {
		_, s.err = io.ReadFull(s.r, s.b[:n])
	}
	if s.err != nil {
		return nil
	}
	s.sum.Write(s.b[:n])
	return append([]byte(nil), s.b[:n]...)
}
