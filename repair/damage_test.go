package repair_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

const page = 4096

// fault is a kind of damage to a file.
type fault struct {
	name string
	do   func(text []byte) []byte // nil: the file is gone
}

// faults returns the damage that is done to a file. Yesterday's copy of it may be
// nil.
func faults(f file, yesterday []byte, random *rand.Rand) (all []fault) {
	add := func(name string, do func(text []byte) []byte) { all = append(all, fault{name, do}) }
	flip := func(text []byte, bit int) []byte {
		text[bit/8] ^= 1 << (bit % 8)
		return text
	}
	used := max(f.used, 1)
	for _, at := range []int{0, 4, 8, 16, 20, 24, 28, 60, 92, 96, used / 2, used - 9, used - 1} {
		if at >= 0 && at < len(f.text) {
			bit := at*8 + random.IntN(8)
			add(fmt.Sprintf("flip bit %d", bit), func(text []byte) []byte { return flip(text, bit) })
		}
	}
	if len(f.text) > 0 {
		for range 10 {
			bit := random.IntN(used * 8)
			add(fmt.Sprintf("flip bit %d", bit), func(text []byte) []byte { return flip(text, bit) })
		}
		for range 4 {
			one, other := random.IntN(used*8), random.IntN(used*8)
			add(fmt.Sprintf("flip bits %d and %d", one, other), func(text []byte) []byte { return flip(flip(text, one), other) })
		}
	}
	pages := (used + page - 1) / page
	for _, n := range []int{0, random.IntN(pages), random.IntN(pages), pages - 1} {
		add(fmt.Sprintf("page %d is zeros", n), func(text []byte) []byte {
			clear(text[n*page : min((n+1)*page, len(text))])
			return text
		})
		if n+1 < pages {
			add(fmt.Sprintf("page %d again in place of the next", n), func(text []byte) []byte {
				copy(text[(n+1)*page:], text[n*page:(n+1)*page])
				return text
			})
		}
	}
	for _, size := range []int{0, used / 2, used / 2 / page * page, used - 1, random.IntN(used)} {
		add(fmt.Sprintf("cut to %d", size), func(text []byte) []byte { return text[:min(size, len(text))] })
	}
	for name, more := range map[string][]byte{
		"a byte": []byte("X"), "a page of zeros": make([]byte, page), "a page of its own": f.text[:min(page, len(f.text))],
	} {
		add("grown by "+name, func(text []byte) []byte { return append(text, more...) })
	}
	add("deleted", func([]byte) []byte { return nil })
	if yesterday != nil {
		add("yesterday's", func([]byte) []byte { return yesterday })
	}
	return all
}

// table counts verdicts.
type damageTable struct {
	mu   sync.Mutex
	rows map[string]*[6]int
}

func (d *damageTable) add(row string, v *verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows[row] == nil {
		d.rows[row] = new([6]int)
	}
	for i, is := range []bool{true, v.exact(), v.refused, v.lost, v.silent, v.wrong} {
		if is {
			d.rows[row][i]++
		}
	}
}

func (d *damageTable) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s %8s %8s %8s %8s %8s %8s\n", "", "cases", "exact", "refused", "lost", "silent", "wrong")
	rows := []string{"two faults apart", "two faults together"}
	for _, k := range kinds {
		rows = append(rows, k.kind)
	}
	for _, name := range rows {
		if r := d.rows[name]; r != nil {
			fmt.Fprintf(&b, "%-26s %8d %8d %8d %8d %8d %8d\n", name, r[0], r[1], r[2], r[3], r[4], r[5])
		}
	}
	return b.String()
}

// TestDamage does each kind of damage to each file of a directory, a copy for
// each case, and starts a server there. A fault in one copy of the log costs
// nothing, and is mended by itself. SWOOSH_DAMAGE_EVERY is how many cases one is
// taken of.
func TestDamage(t *testing.T) {
	b := grow(t)
	every := fromEnv(t, "SWOOSH_DAMAGE_EVERY", 150)
	table := &damageTable{rows: map[string]*[6]int{}}
	t.Cleanup(func() { t.Log("\n" + table.String()) })
	if !testrun.Race() {
		b.inBoth(t, 1+60/every, table)
	}
	b.whileItRuns(t)
	random := rand.New(rand.NewPCG(3, 4))
	n := 0
	for _, in := range []struct{ name, dir, yesterday string }{
		{"killed", b.killed, b.yesterdayKilled}, {"stopped", b.stopped, b.yesterdayStopped},
	} {
		before := filesOf(t, in.yesterday)
		for _, f := range filesOf(t, in.dir) {
			for _, fault := range faults(f, counterpart(f, before), random) {
				if n++; n%every != 0 || testrun.LeaveOut(n/every) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", in.name, f.name, fault.name), func(t *testing.T) {
					t.Parallel()
					dir := filepath.Join(t.TempDir(), "data")
					clone(t, in.dir, dir)
					hit(t, filepath.Join(dir, f.name), fault)
					v := b.judge(t, dir, f.name)
					table.add(f.kind, v)
					if !v.exact() {
						t.Errorf("%s: %s", v.columns(), strings.Join(v.notes, "\n"))
					}
				})
			}
		}
	}
}

// counterpart returns yesterday's file of the same name, or if there is none or it
// is the same, another one of the kind; nil if there is none.
func counterpart(f file, yesterday []file) (text []byte) {
	for _, old := range yesterday {
		if old.kind == f.kind && string(old.text) != string(f.text) && (text == nil || old.name == f.name) {
			text = old.text
		}
	}
	return text
}

// hit does the damage.
func hit(t *testing.T, name string, fault fault) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	if text = fault.do(text); text == nil {
		require.NoError(t, os.Remove(name))
		return
	}
	// A hole stays one.
	used := len(strings.TrimRight(string(text), "\x00"))
	require.NoError(t, os.WriteFile(name, text[:used], 0o600))
	require.NoError(t, os.Truncate(name, int64(len(text))))
}
