package repair_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
)

// inRecord is a record of a journal's file, and the entries that it holds.
type inRecord struct {
	first, last uint64
	at, size    int // in the file; without the header
}

// recordsOf returns the records of a file that hold entries.
func recordsOf(f file) (all []inRecord) {
	const header = 96
	for at := 0; ; {
		n := bytes.Index(f.text[at:], []byte{0xF9, 0xFE, 's', 'w'})
		if n < 0 {
			return all
		}
		at += n
		h := f.text[at:]
		first, count, size := binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint32(h[16:]), int(binary.BigEndian.Uint32(h[20:]))
		if kind := h[5]; kind < 2 {
			all = append(all, inRecord{first, first + uint64(count) - 1, at + header, size})
		}
		at += header + size
	}
}

// entriesIn returns the entries of the second copy: in sound blocks of its tables,
// and in its tail.
func entriesIn(t *testing.T, dir string) map[uint64]bool {
	t.Helper()
	found := map[uint64]bool{}
	_, err := badgerlog.Salvage(filepath.Join(dir, twin.BadgerDir), func(_ badgerlog.Place, values iter.Seq[badgerlog.Value]) {
		for v := range values {
			for r, err := range record.All(v.Bytes, v.Key) {
				require.NoError(t, err)
				found[r.Index] = true
			}
		}
	})
	require.NoError(t, err)
	tail, err := journal.OpenTail(filepath.Join(dir, twin.NewestDir), durable.OS(), slog.New(slog.DiscardHandler))
	for r, err := range readAll(tail, err, 0) {
		require.NoError(t, err)
		found[r.Index] = true
	}
	return found
}

// twoFaults damages a record of the journal and a block of a table in a copy of a
// directory, and returns the entries that neither has then. together says whether
// there are to be such.
func twoFaults(t *testing.T, from, dir string, random *rand.Rand, together bool) (both map[uint64]bool) {
	t.Helper()
	clone(t, from, dir)
	all := entriesIn(t, dir)
	files := map[string][]file{}
	for _, f := range filesOf(t, dir) {
		files[f.kind] = append(files[f.kind], f)
	}
	tables := files["second: table"]
	table := tables[random.IntN(len(tables)/2)] // The tail still has the entries of the last ones.
	bit, left := 0, all
	for len(left) == len(all) { // A flip may cost nothing, as in a copy of a repeated text.
		bit = random.IntN(len(table.text) * 8 * 8 / 10) // The index is at the end, and before it what only a raw file has.
		text := bytes.Clone(table.text)
		text[bit/8] ^= 1 << (bit % 8)
		require.NoError(t, os.WriteFile(filepath.Join(dir, table.name), text, 0o600))
		left = entriesIn(t, dir)
	}
	for range 10_000 {
		f := files["journal: sealed file"][random.IntN(len(files["journal: sealed file"]))]
		records := recordsOf(f)
		r := records[random.IntN(len(records))]
		both = map[uint64]bool{}
		for i := r.first; i <= r.last; i++ {
			if all[i] && !left[i] {
				both[i] = true
			}
		}
		if len(both) > 0 == together {
			at := r.at + random.IntN(r.size)
			hit(t, filepath.Join(dir, f.name), fault{do: func(text []byte) []byte {
				text[at] ^= 1
				return text
			}})
			t.Logf("%s bit %d; %s byte %d, entries %d to %d", table.name, bit, f.name, at, r.first, r.last)
			return both
		}
	}
	t.Skip("what is hit in the table is in no sealed file")
	return nil
}

// inBoth does n times a fault to each copy. At different entries they cost
// nothing; at the same ones these entries alone, which are named.
func (b *aged) inBoth(t *testing.T, n int, table *damageTable) {
	random := rand.New(rand.NewPCG(5, 6))
	for n := range n {
		seed := random.Uint64()
		t.Run(fmt.Sprintf("apart-%d", n), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			twoFaults(t, []string{b.killed, b.stopped}[n%2], dir, rand.New(rand.NewPCG(seed, 0)), false)
			v := b.judge(t, dir, "log/*")
			table.add("two faults apart", v)
			if !v.exact() {
				t.Errorf("%s: %s", v.columns(), strings.Join(v.notes, "\n"))
			}
		})
		t.Run(fmt.Sprintf("together-%d", n), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			both := twoFaults(t, b.stopped, dir, rand.New(rand.NewPCG(seed, 0)), true)
			found := map[uint64]bool{}
			for i := range b.history {
				found[uint64(i+1)] = !both[uint64(i+1)]
			}
			gone := missing(found, len(b.history))
			v := b.judge(t, dir, "log/*")
			table.add("two faults together", v)
			text := strings.Join(v.notes, "\n")
			if !v.refused || v.silent || v.wrong || !strings.Contains(text, "lost: "+gone) || !strings.Contains(text, "not in the log after the repair: "+gone) {
				t.Errorf("%s, want %s lost: %s", v.columns(), gone, text)
			}
		})
	}
}
