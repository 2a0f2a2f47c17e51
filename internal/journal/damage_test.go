package journal

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
)

// sample returns a file system with a journal of three sealed files, raw files
// that are not sealed, and the one in use; and its last index.
func sample(t testing.TB) (*durable.Mem, uint64) {
	t.Helper()
	m := newMem(t)
	j, err := still(t, m)
	require.NoError(t, err)
	sealed := func() (n int) {
		for _, f := range j.files {
			if !f.raw {
				n++
			}
		}
		return n
	}
	last := uint64(0)
	for sealed() < 3 {
		last += 5
		fill(t, j, last, 5, 150)
		require.NoError(t, j.Seal(context.Background()))
	}
	j.Release(last)
	require.NoError(t, j.recycle())
	for len(j.files) < 6 {
		last += 5
		fill(t, j, last, 5, 150)
	}
	fill(t, j, last+45, 5, 150)
	return m.Crash(), last + 45
}

// records returns where the records of a file are.
func records(t testing.TB, name string, data []byte) []found {
	t.Helper()
	step := 1
	if strings.HasSuffix(name, ".raw") {
		step = blockBytes
	}
	all, err := scan(data, step)
	require.NoError(t, err)
	first := parseName(name).first
	return slices.DeleteFunc(all, func(r found) bool { return r.first < first })
}

// mend opens a damaged journal, heals it, and requires that everything is there,
// then and after another start. It returns how many entries the damage cost.
func mend(t testing.TB, m *durable.Mem, last uint64, what string) (lost uint64) {
	t.Helper()
	j := open(t, m, dir)
	from, to := j.Bounds()
	for _, s := range readable(t, j) {
		lost += s.last - s.first + 1
	}
	lost = last - lost
	heal(t, j)
	if from > 1 {
		require.NoError(t, j.Heal(other(span{1, from - 1}), aside), what)
	}
	if to < last {
		require.NoError(t, j.Heal(other(span{to + 1, last}), aside), what)
	}
	require.Equal(t, []span{{1, last}}, readable(t, j), what)
	fill(t, j, last+30, 5, 3000)
	require.NoError(t, j.Seal(context.Background()))
	require.NoError(t, j.Close())
	j = open(t, m.Crash(), dir)
	require.Empty(t, j.Damage(), what)
	damage, err := j.Check(context.Background(), func(int) {})
	require.NoError(t, err)
	require.Empty(t, damage, what)
	require.Equal(t, []span{{1, last + 30}}, readable(t, j), what)
	require.NoError(t, j.Close())
	return lost
}

// harm changes a file of a copy of the file system, and returns the copy.
func harm(t testing.TB, m *durable.Mem, name string, change func(data []byte) []byte) *durable.Mem {
	t.Helper()
	m = m.Crash()
	write(t, m, dir+"/"+name, change(bytes.Clone(read(t, m, dir+"/"+name))))
	return m
}

func files(t testing.TB, m *durable.Mem) []string {
	return slices.DeleteFunc(names(t, m, dir), func(n string) bool { return parseName(n) == nil })
}

// A flipped bit in any field of a record, or in its body, costs that record
// alone. It is noticed, and healed from another copy.
func TestFlips(t *testing.T) {
	m, last := sample(t)
	flips := 0
	fields := map[string]int{"magic": 0, "format": 4, "kind": 5, "zero": 6, "first": 15, "count": 19, "stored": 23, "body size": 27, "before": 28, "after": 60, "crc": 92, "body": headerBytes, "body's end": -1}
	for _, name := range files(t, m) {
		all := records(t, name, read(t, m, dir+"/"+name))
		require.Greater(t, len(all), 3)
		for _, n := range []int{0, len(all) / 2, len(all) - 1} {
			for field, at := range fields {
				if flips++; testrun.LeaveOut(flips) {
					continue
				}
				what := fmt.Sprintf("%s: record %d of %d: %s", name, n, len(all), field)
				r := all[n]
				if at < 0 {
					at = r.bytes() - 1
				}
				hurt := harm(t, m, name, func(b []byte) []byte { b[int(r.at)+at] ^= 4; return b })
				lost := mend(t, hurt, last, what)
				if r.kind == table {
					require.Zero(t, lost, what)
				} else {
					require.Equal(t, r.last-r.first+1, lost, what)
				}
				if r.last < last { // The last record of all may be one that was cut off.
					require.Equal(t, []string{name}, names(t, hurt, aside), what)
				}
			}
		}
	}
}

// Whatever happens to one file costs no more than the records that it hits, or
// the file, and is healed.
func TestDamagedFiles(t *testing.T) {
	m, last := sample(t)
	page := func(at int, change func(page []byte)) func([]byte) []byte {
		return func(b []byte) []byte {
			at := at * len(b) / 100 / blockBytes * blockBytes
			change(b[at:min(at+blockBytes, len(b))])
			return b
		}
	}
	cases := map[string]func([]byte) []byte{
		"emptied":       func([]byte) []byte { return nil },
		"all zeros":     func(b []byte) []byte { clear(b); return b },
		"halved":        func(b []byte) []byte { return b[:len(b)/2] },
		"a byte less":   func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":   func(b []byte) []byte { return append(b, 0) },
		"text after it": func(b []byte) []byte { return append(b, bytes.Repeat([]byte("text"), 5000)...) },
		"zeros after":   func(b []byte) []byte { return append(b, make([]byte, 3*blockBytes)...) },
		"twice":         func(b []byte) []byte { return append(b, b...) },
		"doubled page":  func(b []byte) []byte { return slices.Insert(b, blockBytes, b[:min(blockBytes, len(b))]...) },
		"copied page":   func(b []byte) []byte { copy(b[min(2*blockBytes, len(b)/2):], b[:min(blockBytes, len(b)/4)]); return b },
		"later page":    func(b []byte) []byte { copy(b[:min(blockBytes, len(b)/4)], b[min(3*blockBytes, len(b)/2):]); return b },
		"lost page":     func(b []byte) []byte { return slices.Delete(b, len(b)/8, len(b)/8+min(blockBytes, len(b)/4)) },
		"two flips":     func(b []byte) []byte { b[len(b)/4] ^= 4; b[len(b)/5] ^= 1; return b },
	}
	for _, at := range []int{0, 30, 60, 99} {
		cases[fmt.Sprintf("zeroed page at %d", at)] = page(at, func(p []byte) { clear(p) })
		cases[fmt.Sprintf("flip at %d", at)] = page(at, func(p []byte) { p[len(p)/2] ^= 1 })
	}
	made := 0
	for _, name := range files(t, m) {
		for what, change := range cases {
			if made++; testrun.LeaveOut(made) {
				continue
			}
			mend(t, harm(t, m, name, change), last, name+": "+what)
		}
		gone := m.Crash()
		require.NoError(t, gone.Remove(dir+"/"+name))
		mend(t, gone, last, name+": deleted")
	}
}

// The raw file in use, exchanged with an older version of itself, ends sooner.
// One of another log is noticed by its chain.
func TestExchangedFiles(t *testing.T) {
	m, last := sample(t)
	j := open(t, m, dir)
	all := files(t, m)
	raw := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return !strings.HasSuffix(n, ".raw") })
	require.NoError(t, j.Close())
	for _, name := range raw {
		lost := mend(t, harm(t, m, name, func(b []byte) []byte {
			r := records(t, name, b)
			clear(b[r[len(r)-3].at:])
			return b
		}), last, name)
		require.NotZero(t, lost)
	}
	for i := range all {
		for k := range all {
			if i != k {
				other := read(t, m, dir+"/"+all[k])
				mend(t, harm(t, m, all[i], func([]byte) []byte { return other }), last, all[i]+" as "+all[k])
			}
		}
		foreign := harm(t, m, all[i], func(b []byte) []byte {
			for _, r := range slices.Backward(records(t, all[i], b)) {
				h := r.header
				h.before[0]++
				h.after[0]++
				copy(b[r.at:], appendRecord(nil, h, bytes.Clone(b[int(r.at)+headerBytes:int(r.at)+r.bytes()])))
			}
			return b
		})
		j := open(t, foreign, dir)
		require.NotEmpty(t, j.Damage(), all[i])
		require.NoError(t, j.Close())
		mend(t, foreign, last, all[i]+" of another log")
	}
}

// Records in one file that do not continue each other are damage, although each
// is sound.
func TestBrokenChain(t *testing.T) {
	m, last := sample(t)
	for _, name := range files(t, m) {
		r := records(t, name, read(t, m, dir+"/"+name))[2]
		broken := harm(t, m, name, func(b []byte) []byte {
			b[r.at+28]++
			sum(b[r.at:][:r.bytes()])
			return b
		})
		j := open(t, broken, dir)
		damage, err := j.Check(context.Background(), func(int) {})
		require.NoError(t, err)
		require.Equal(t, name, damage[0].File)
		heal(t, j)
		require.Equal(t, []span{{1, last}}, readable(t, j))
		require.NoError(t, j.Close())
	}
}

// What was damaged is kept in the folder aside, however often that happens.
func TestDamagedFilesAreSetAside(t *testing.T) {
	m, last := sample(t)
	name := files(t, m)[1]
	broken := func(b []byte) []byte { b[headerBytes+3] ^= 1; return b }
	for n := 1; n <= 2; n++ {
		m = harm(t, m, name, broken)
		bytes := read(t, m, dir+"/"+name)
		j := open(t, m, dir)
		readable(t, j)
		heal(t, j)
		require.Len(t, names(t, m, aside), n)
		kept := slices.ContainsFunc(names(t, m, aside), func(n string) bool { return string(read(t, m, aside+"/"+n)) == string(bytes) })
		require.True(t, kept, name)
		require.Equal(t, []span{{1, last}}, readable(t, j))
		require.NoError(t, j.Close())
		m = m.Crash()
		require.Len(t, names(t, m, aside), n)
		name = files(t, m)[1]
	}
}

// A hole that nothing fills stays one, and costs only its entries, also after
// its file was set aside.
func TestHoleThatStays(t *testing.T) {
	m, last := sample(t)
	for _, name := range files(t, m) {
		r := records(t, name, read(t, m, dir+"/"+name))[1]
		if r.kind == table {
			continue
		}
		m := harm(t, m, name, func(b []byte) []byte { b[int(r.at)+headerBytes] ^= 1; return b })
		j := open(t, m, dir)
		readable(t, j)
		require.NoError(t, j.Heal(other(), aside))
		want := []span{{1, r.first - 1}, {r.last + 1, last}}
		require.Equal(t, want, readable(t, j))
		require.Equal(t, []Damage{{First: r.first, Last: r.last, Err: errMissing}}, j.Damage())
		require.NoError(t, j.Close())
		j = open(t, m.Crash(), dir)
		require.Equal(t, want, readable(t, j))
		fill(t, j, last+100, 5, 150)
		require.NoError(t, j.Seal(context.Background()))
		require.Len(t, readable(t, j), 2)
		require.NoError(t, j.Close())
	}
}

// A file that cannot be read is damage that names the disk's error; a process
// without file handles is not, nor is anything else that the machine refuses.
func TestUnreadableFiles(t *testing.T) {
	m, last := sample(t)
	for _, name := range files(t, m) {
		for _, op := range []string{"read", "open"} {
			m := m.Crash()
			j := open(t, m, dir)
			m.Fail(func(o, n string) error {
				if o == op && n == dir+"/"+name {
					return syscall.EIO
				}
				return nil
			})
			damage, err := j.Check(context.Background(), func(int) {})
			require.NoError(t, err)
			require.NotEmpty(t, damage)
			require.ErrorIs(t, &damage[0], syscall.EIO)
			require.Equal(t, name, damage[0].File)
			readable(t, j)
			m.Fail(nil)
			heal(t, j)
			require.Equal(t, []span{{1, last}}, readable(t, j))
			require.NoError(t, j.Close())
		}
		for _, refusal := range []syscall.Errno{syscall.EMFILE, syscall.ESTALE, syscall.ELOOP, syscall.EDQUOT} {
			for _, op := range []string{"open", "sync", "read"} {
				m := m.Crash()
				met := false
				m.Fail(func(o, n string) error {
					if o == op && n == dir+"/"+name {
						met = true
						return refusal
					}
					return nil
				})
				j, err := openSized(dir, m, discard, small)
				require.Equal(t, met, err != nil, "%s %s", op, name)
				if met {
					require.ErrorIs(t, err, refusal, "%s %s", op, name)
				} else {
					require.NoError(t, j.Close())
				}
			}
		}
	}
}

// Records of a later format are not damage.
func TestNewerFormat(t *testing.T) {
	m, _ := sample(t)
	for _, name := range files(t, m) {
		newer := harm(t, m, name, func(b []byte) []byte {
			r := records(t, name, b)
			last := r[len(r)-1]
			b[last.at+4]++
			sum(b[last.at:][:last.bytes()])
			return b
		})
		_, err := openSized(dir, newer, discard, small)
		require.ErrorIs(t, err, ErrNewer, name)
		require.ErrorContains(t, err, name)
	}
}

// A kill at every step of healing leaves a journal that can be healed.
func TestHealKilledAtEveryStep(t *testing.T) {
	m, last := sample(t)
	m = harm(t, m, files(t, m)[0], func(b []byte) []byte { b[headerBytes] ^= 1; return b })
	m = harm(t, m, files(t, m)[2], func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	m = harm(t, m, files(t, m)[5], func(b []byte) []byte { b[2*blockBytes] ^= 1; return b })
	for steps := 0; ; steps++ {
		m := m.Crash()
		d := &durable.Dying{FS: m, Left: steps, Writes: true}
		if j, err := still(t, d); err == nil {
			var holes []span
			for _, d := range j.Damage() {
				if d.First > 0 {
					holes = append(holes, span{d.First, d.Last})
				}
			}
			_ = j.Heal(other(holes...), aside)
		}
		mend(t, m.Crash(), last, fmt.Sprint("power cut after ", steps))
		mend(t, m, last, fmt.Sprint("kill after ", steps))
		if d.Left > 0 {
			require.Greater(t, steps, 20)
			return
		}
	}
}

// A file that goes bad under the writer is healed, and the writer goes on in
// another.
func TestHealUnderTheWriter(t *testing.T) {
	m := newMem(t)
	j := open(t, m, dir)
	fill(t, j, 12, 3, 100)
	f, err := m.OpenFile(j.path(rawName(1)), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("harm"), blockBytes+headerBytes)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	fill(t, j, 15, 3, 100)
	bodies := 0
	damage, err := j.Check(context.Background(), func(n int) { bodies += n })
	require.NoError(t, err)
	require.Equal(t, []Damage{{File: rawName(1), First: 4, Last: 6, Err: errUnsound}}, damage)
	require.Equal(t, 12*112, bodies)
	fill(t, j, 18, 3, 100)
	heal(t, j)
	fill(t, j, 30, 3, 100)
	require.Equal(t, []span{{1, 30}}, readable(t, j))
	require.Equal(t, []string{rawName(1)}, names(t, m, aside))
	j = open(t, m.Crash(), dir)
	require.Equal(t, []span{{1, 30}}, readable(t, j))
	require.Empty(t, j.Damage())
}

// Heal takes no entries that are there, and changes nothing then.
func TestHealRefuses(t *testing.T) {
	m, last := sample(t)
	j := open(t, m, dir)
	before := names(t, m, dir)
	for _, s := range []span{{1, 1}, {last, last + 1}, {last - 3, last - 1}} {
		require.ErrorIs(t, j.Heal(other(s), aside), fs.ErrExist)
	}
	require.Equal(t, before, names(t, m, dir))
	require.NoError(t, j.Heal(other(span{last + 1, last + 50}), aside))
	fill(t, j, last+60, 5, 100)
	require.Equal(t, []span{{1, last + 60}}, readable(t, j))
}

// A reader whose raw file is recycled under it goes on in the sealed one.
func TestRecycledUnderAReader(t *testing.T) {
	m := newMem(t)
	j, err := still(t, m)
	require.NoError(t, err)
	fill(t, j, 60, 1, 3000)
	next := uint64(1)
	for g, err := range j.Read(1, 60) {
		require.NoError(t, err)
		check(t, g)
		require.Equal(t, next, g.First)
		if next = g.Last + 1; g.First == 3 {
			require.NoError(t, j.Seal(context.Background()))
			j.Release(60)
			require.NoError(t, j.recycle())
			fill(t, j, 120, 1, 3000)
		}
	}
	require.EqualValues(t, 61, next)
	require.Empty(t, j.Damage())
	require.Equal(t, []span{{1, 120}}, readable(t, j))
}

func TestDamageIsAnError(t *testing.T) {
	d := &Damage{File: "a.raw", First: 3, Last: 5, Err: os.ErrClosed}
	require.EqualError(t, d, "journal: a.raw: entries 3 to 5: file already closed")
	require.ErrorIs(t, d, os.ErrClosed)
	require.EqualError(t, &Damage{File: "a.raw", Err: errTable}, "journal: a.raw: it is not as it was written")
}
