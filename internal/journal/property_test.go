package journal

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Whatever happens in which order, what was acknowledged is there after each
// restart, once, and nothing else but one group that was not acknowledged.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := newMem(t)
		var acked uint64
		for range rapid.IntRange(1, 6).Draw(r, "lives") {
			d := &durable.Dying{FS: m, Left: rapid.IntRange(5, 120).Draw(r, "steps"), Writes: true}
			tried := acked
			if j, err := still(t, d); err == nil {
				acked, tried = randomLife(t, r, j, acked)
			}
			if rapid.Bool().Draw(r, "power cut") {
				m = m.Crash()
			}
			j := open(t, m, dir)
			_, last := j.Bounds()
			require.GreaterOrEqual(t, last, acked)
			require.LessOrEqual(t, last, tried)
			if last > 0 {
				require.Equal(t, []span{{1, last}}, readable(t, j))
			}
			require.Empty(t, j.Damage())
			require.NoError(t, j.Close())
			acked = last
		}
	})
}

// randomLife uses a journal until its file system fails, or for some time. It
// returns the last index that was acknowledged, and the last one tried.
func randomLife(t *testing.T, r *rapid.T, j *Journal, acked uint64) (uint64, uint64) {
	for range rapid.IntRange(1, 40).Draw(r, "operations") {
		var err error
		switch rapid.SampledFrom([]string{"append", "append", "append", "seal", "release", "recycle", "read", "spare"}).Draw(r, "operation") {
		case "append":
			tried := acked + rapid.Uint64Range(1, 9).Draw(r, "entries")
			size := rapid.SampledFrom([]int{1, 400, 3000}).Draw(r, "size")
			if err = j.Append(groupOf(acked+1, tried, size)); err != nil {
				return acked, tried
			}
			acked = tried
		case "seal":
			err = j.Seal(context.Background())
		case "release":
			j.Release(rapid.Uint64Range(0, acked).Draw(r, "released"))
		case "recycle":
			err = j.recycle()
		case "read":
			if acked > 0 {
				require.Equal(t, []span{{1, acked}}, readable(t, j))
			}
		case "spare":
			err = j.needSpare()
		}
		if err != nil {
			return acked, acked
		}
	}
	return acked, acked
}

// FuzzRaw opens a raw file of any content. What is read of it is sound.
func FuzzRaw(f *testing.F) {
	m := newMem(f)
	j, err := still(f, m)
	require.NoError(f, err)
	fill(f, j, 30, 3, 100)
	data := read(f, m, dir+"/"+rawName(1))
	f.Add(data)
	f.Add(data[:5*blockBytes])
	f.Add(appendRecord(nil, header{plain, 1, 1 << 32, 0, BodyMax, [32]byte{}, [32]byte{}}, []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) { openAny(t, rawName(1), data) })
}

// FuzzSealed is FuzzRaw for a sealed file.
func FuzzSealed(f *testing.F) {
	p := &pack{size: small}
	for i := uint64(1); i <= 30; i++ {
		p.add(groupOf(i, i, 300))
	}
	_, data := p.finish()
	f.Add(data)
	f.Add(data[:len(data)-9])
	f.Add(appendRecord(nil, header{packed, 1, 30, 0, BodyMax, [32]byte{}, [32]byte{}}, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xff}))
	f.Fuzz(func(t *testing.T, data []byte) { openAny(t, nameOf(1, 30), data) })
}

// FuzzRecord makes the CRC right, so that the fuzzer gets beyond it.
func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, header{plain, 1, 3, 0, 5, [32]byte{}, [32]byte{}}, []byte("three")))
	f.Add(appendRecord(nil, header{packed, 1, 3, 0, 5, [32]byte{}, [32]byte{}}, encoder.EncodeAll([]byte("three"), nil)))
	f.Add(appendRecord(nil, header{table, 1, 3, 0, 0, [32]byte{}, [32]byte{}}, make([]byte, 32)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < headerBytes {
			return
		}
		sum(data)
		h, stored, err := parse(data)
		if err != nil {
			return
		}
		if h.kind == table {
			_, _ = parseTable(stored, h, int64(len(data)))
		} else if g, err := h.group(stored); err == nil {
			require.LessOrEqual(t, len(g.Body), max(BodyMax, len(data)))
		}
	})
}

// openAny opens a journal of one file, reads it, and appends.
func openAny(t *testing.T, name string, data []byte) {
	m := newMem(t)
	write(t, m, dir+"/"+name, data)
	j, err := still(t, m)
	if err != nil {
		require.ErrorIs(t, err, ErrNewer)
		return
	}
	_, err = j.Check(context.Background(), func(int) {})
	if err == nil {
		require.NoError(t, j.Heal(other(), aside))
		if j.last < 1<<60 {
			require.NoError(t, j.Append(Group{First: j.last + 2, Last: j.last + 2}))
		}
	}
}
