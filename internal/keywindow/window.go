// Package keywindow maps the idempotency keys of recent entries to the entries:
// the last MaxKeys entries that have a key and are at most 24 hours older, by
// stamp, than the newest entry. The window is derived from the log, so it is
// the same on every node and after every restart.
package keywindow

import (
	"cmp"
	"crypto/sha256"
	"strings"
	"time"
)

// MaxKeys is the number of keys that a window can hold.
const MaxKeys = 1_000_000

// maxAge is a constant, so that all nodes and all restarts agree.
const maxAge = 24 * time.Hour

// Stamp is an entry's stamp, like swoosh.Stamp.
type Stamp struct {
	WallMS  uint64 // Unix milliseconds, below 2^48
	Counter uint16 // orders stamps of one millisecond
	Node    string // 1 to 63 of a-z, 0-9 and dash
}

func (t Stamp) compare(u Stamp) int {
	return cmp.Or(cmp.Compare(t.WallMS, u.WallMS), cmp.Compare(t.Counter, u.Counter), strings.Compare(t.Node, u.Node))
}

// Window is a window that grows with the log. It is not safe for concurrent
// use.
type Window struct {
	max   int
	byKey map[keyHash]uint64
	ring

	last   string // the key that was hashed last: Add mostly follows Find
	hashed keyHash
}

// ring holds the records of a window and the stamp where it begins.
type ring struct {
	chunks []*chunk // oldest first
	head   int      // first record in chunks[0]
	len    int
	since  Stamp // up to which keys are not all in it; zero: it has all
}

// chunk is a part of a ring. Records in it never change, so a View may be read
// while its window grows.
type chunk [4096]record

type record struct {
	key     keyHash
	index   uint64
	wallMS  uint64
	counter uint16
}

// keyHash is the first half of a key's SHA-256.
type keyHash [16]byte

func hashKey(key string) keyHash {
	h := sha256.Sum256([]byte(key))
	return keyHash(h[:16])
}

// hash is hashKey, which it asks once for a key that follows itself.
func (w *Window) hash(key string) keyHash {
	if key != w.last {
		w.last, w.hashed = key, hashKey(key)
	}
	return w.hashed
}

// New returns an empty window that holds up to max keys. since is a stamp up to
// which keys are not in the window; zero means that the window is complete.
func New(max int, since Stamp) *Window {
	return &Window{max: max, byKey: map[keyHash]uint64{}, ring: ring{since: since}}
}

// Find returns the index of the entry with a key. For the key of a batch, it is
// the batch's first entry.
func (w *Window) Find(key string) (index uint64, ok bool) {
	index, ok = w.byKey[w.hash(key)]
	return index, ok
}

// Expired reports whether a key made at keySince may have been dropped from the
// window. It is false for the zero stamp.
func (w *Window) Expired(keySince Stamp) bool {
	return keySince != Stamp{} && w.since.compare(keySince) > 0
}

// Miss says that keys of entries before a stamp are unknown.
func (w *Window) Miss(before Stamp) {
	if w.since.compare(before) < 0 {
		w.since = before
	}
}

// Add adds the key of the entry index, whose stamp is at. key is "" if the
// entry has none. Add reports whether the key was already in the window, which
// is a fault of the log.
func (w *Window) Add(key string, index uint64, at Stamp) (known bool) {
	w.Expire(at)
	if key == "" {
		return false
	}
	k := w.hash(key)
	if _, known = w.byKey[k]; known {
		return true
	}
	w.push(record{k, index, at.WallMS, at.Counter}, at.Node)
	return false
}

func (w *Window) push(r record, node string) {
	if w.len == w.max {
		w.drop(node)
	}
	at := w.head + w.len
	if at/len(chunk{}) == len(w.chunks) {
		w.chunks = append(w.chunks, new(chunk))
	}
	w.chunks[at/len(chunk{})][at%len(chunk{})] = r
	w.byKey[r.key] = r.index
	w.len++
}

// Expire drops the keys that are too old if the newest entry has the stamp now.
func (w *Window) Expire(now Stamp) {
	age := uint64(maxAge.Milliseconds())
	for w.len > 0 && w.chunks[0][w.head].wallMS+age < now.WallMS {
		w.drop(now.Node)
	}
}

// drop drops the oldest key. Records hold no node, so since gets the node of
// the entry that pushes the key out.
func (w *Window) drop(node string) {
	r := w.chunks[0][w.head]
	delete(w.byKey, r.key)
	w.Miss(Stamp{r.wallMS, r.counter, node})
	w.len--
	if w.head++; w.head == len(chunk{}) {
		w.chunks, w.head = w.chunks[1:], 0
	}
}

// View returns the window as it is now.
func (w *Window) View() View { return View{w.ring} }

// Window returns a window that goes on from the view, and holds up to MaxKeys keys.
// The one that the view is of must not be used any more.
func (v View) Window() *Window {
	w := &Window{max: MaxKeys, byKey: make(map[keyHash]uint64, v.len), ring: v.ring}
	for i := range v.len {
		at := v.head + i
		r := &v.chunks[at/len(chunk{})][at%len(chunk{})]
		w.byKey[r.key] = r.index
	}
	return w
}

// View is a window at one moment. It is immutable and safe for concurrent use.
type View struct{ ring }

// Oldest returns the entry of the oldest key; ok is false if there is none.
func (r ring) Oldest() (index uint64, ok bool) {
	if r.len == 0 {
		return 0, false
	}
	return r.chunks[0][r.head].index, true
}

// Since returns the stamp where the window begins: that of the newest key
// dropped, or one before which keys are unknown. It is zero if the window holds
// the keys of all entries.
func (r ring) Since() Stamp { return r.since }
