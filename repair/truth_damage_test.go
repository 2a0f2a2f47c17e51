package repair_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// Files of the directories that a witness gets. Their last entry is 14, and a batch has
// entries 12 to 14.
const (
	newestSnapshot, olderSnapshot, oldestSnapshot = "snapshots/snapshot-00000000000000000010.json", "snapshots/snapshot-00000000000000000007.json", "snapshots/snapshot-00000000000000000004.json"
	newestKeys, olderKeys                         = "snapshots/keys-00000000000000000010", "snapshots/keys-00000000000000000007"
)

// lived makes a directory with snapshots after entries 4, 7 and 10. The state comes from
// an import if it is said so.
func lived(t *testing.T, imports bool) *witness {
	t.Helper()
	w := &witness{T: t, part: first, begins: 1, sound: filepath.Join(t.TempDir(), "data"), history: map[uint64]swoosh.Record{}}
	o := at(w.sound)
	o.Node = ""
	e, err := swoosh.Open(t.Context(), o, first)
	require.NoError(t, err)
	put := func(n uint64) swoosh.Request {
		return swoosh.Request{Command: "shelf.put", IdempotencyKey: fmt.Sprintf("key-%d", n), Payload: fmt.Appendf(nil, `{"item":"i-%d","n":%d}`, n, n)}
	}
	for e.View().Index() < 11 {
		next := e.View().Index() + 1
		if imports && next == 6 {
			var doc bytes.Buffer
			_, err := e.View().WriteTo(&doc)
			require.NoError(t, err)
			hash := e.View().StateHash()
			_, err = e.Import(t.Context(), &hash, &doc)
			require.NoError(t, err)
		} else {
			_, err = e.Submit(t.Context(), put(next))
			require.NoError(t, err)
		}
		if next == 4 || next == 7 || next == 10 {
			_, err = e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	batch := []swoosh.Request{put(12), put(13), put(14)}
	for i := range batch {
		batch[i].IdempotencyKey = ""
	}
	_, err = e.SubmitBatch(t.Context(), "batch", batch)
	require.NoError(t, err)
	w.end = e.View()
	for r, err := range e.Records(1, w.end.Index()) {
		require.NoError(t, err)
		w.history[r.Index] = r
	}
	running := w.sound
	w.sound = filepath.Join(t.TempDir(), "killed")
	clone(t, running, w.sound)
	stop(t, e, running)
	return w
}

// in returns a witness of a copy of the directory.
func (w *witness) in(t *testing.T) *witness {
	c := *w
	c.T, c.dir = t, filepath.Join(t.TempDir(), "data")
	clone(t, w.sound, c.dir)
	return &c
}

func spoilt(name string) func(w *witness) {
	return func(w *witness) {
		names, err := filepath.Glob(filepath.Join(w.dir, name))
		require.NoError(w, err)
		require.NotEmpty(w, names)
		text, err := os.ReadFile(names[0])
		require.NoError(w, err)
		at := len(text) / 2
		if records := recordsOf(file{text: text}); records != nil {
			at = records[2].at + records[2].size/2
		}
		text[at] ^= 1
		require.NoError(w, os.WriteFile(names[0], text, 0o600))
	}
}

func without(names ...string) func(w *witness) {
	return func(w *witness) {
		for _, name := range names {
			require.NoError(w, os.RemoveAll(filepath.Join(w.dir, name)))
		}
	}
}

func losing(indexes ...uint64) func(w *witness) {
	return func(w *witness) { lose(w, w.dir, indexes...) }
}

// altered changes an entry in both copies; with whole its chain too.
func altered(index uint64, old, with string, whole bool) func(w *witness) {
	return func(w *witness) {
		w.forged = index
		testlog.Rewrite(w, w.dir, func(all []record.Record) []record.Record {
			r := &all[index-1]
			require.Contains(w, string(r.JSON), old)
			r.JSON = bytes.Replace(r.JSON, []byte(old), []byte(with), 1)
			if whole {
				before := w.history[index-1].Chain
				r.Chain = sha256.Sum256(append(before[:], r.JSON...))
			}
			return all
		})
	}
}

func all(spoils ...func(w *witness)) func(w *witness) {
	return func(w *witness) {
		for _, spoil := range spoils {
			spoil(w)
		}
	}
}

// otherKeys has a key window that is whole, but of other keys.
func otherKeys(w *witness) {
	name := filepath.Join(w.dir, newestKeys)
	text, err := os.ReadFile(name)
	require.NoError(w, err)
	end := len(text) - sha256.Size
	text[end-1]++
	sum := sha256.Sum256(text[:end])
	require.NoError(w, os.WriteFile(name, append(text[:end], sum[:]...), 0o600))
}

// rested lets the log begin in its middle, on a snapshot.
func rested(on uint64) func(w *witness) {
	return func(w *witness) {
		testlog.Rewrite(w, w.dir, func(all []record.Record) []record.Record { return all[on:] })
		w.begins = on + 1
	}
}

// brokenOff ends a repair of a loss after it was decided for.
func brokenOff(w *witness) {
	losing(9)(w)
	for steps := 0; ; steps++ {
		before := w.dir
		w.dir = filepath.Join(w.TempDir(), "data")
		clone(w, before, w.dir)
		o := w.options()
		o.FS = &durable.Dying{FS: durable.OS(), Left: steps}
		report, err := repair.Repair(w.Context(), o, acceptLoss, first)
		if _, there := os.Stat(filepath.Join(w.dir, "new/replacement.json")); there == nil {
			w.hear(explain(w, func() swoosh.Options { o := w.options(); o.Dir = before; return o }(), first).Findings)
			return
		}
		require.Error(w, err, report)
		require.ErrorIs(w, err, durable.ErrDead)
		w.dir = before
	}
}

// lostAgain has a loss that was accepted, and then loses the snapshot that held what the
// entry did. A backup of the mended directory has it.
func lostAgain(w *witness) {
	losing(9)(w)
	w.hear(mend(w, w.options(), acceptLoss, first).Findings)
	w.sound = filepath.Join(w.TempDir(), "mended")
	clone(w, w.dir, w.sound)
	without(newestSnapshot)(w)
}

// otherBase rests on a snapshot that other domains went on from, which is damaged.
func otherBase(w *witness) {
	w.part = strict
	mend(w, w.options(), acceptReducer, strict)
	w.sound = filepath.Join(w.TempDir(), "mended")
	clone(w, w.dir, w.sound)
	spoilt("snapshots/snapshot-00000000000000000015.json")(w)
}

// TestWhatIsSaidIsSo: of each kind of damage, what verify says is done, and what repair
// says; then all is sound, and everything that was said is true.
func TestWhatIsSaidIsSo(t *testing.T) {
	testrun.SkipUnderRace(t)
	plain, imports := lived(t, false), lived(t, true)
	for name, tc := range map[string]struct {
		damage func(w *witness)
		says   string // verify; empty: that all is sound
		of     *witness
	}{
		"newest snapshot":                   {damage: spoilt(newestSnapshot), says: newestSnapshot + " is damaged"},
		"older snapshot":                    {damage: spoilt(olderSnapshot), says: olderSnapshot + " is damaged"},
		"oldest snapshot":                   {damage: spoilt(oldestSnapshot), says: oldestSnapshot + " is damaged"},
		"newest and oldest snapshot":        {damage: all(spoilt(newestSnapshot), spoilt(oldestSnapshot)), says: oldestSnapshot + " is damaged"},
		"every snapshot":                    {damage: all(spoilt(newestSnapshot), spoilt(olderSnapshot), spoilt(oldestSnapshot)), says: oldestSnapshot + " is damaged"},
		"newest keys":                       {damage: spoilt(newestKeys), says: newestKeys + " is damaged"},
		"older keys":                        {damage: spoilt(olderKeys), says: olderKeys + " is damaged"},
		"newest snapshot, older keys":       {damage: all(spoilt(newestSnapshot), spoilt(olderKeys)), says: olderKeys + " is damaged"},
		"keys of others":                    {damage: otherKeys, says: "does not hold the keys"},
		"node":                              {damage: func(w *witness) { require.NoError(w, os.Truncate(filepath.Join(w.dir, "node"), 0)) }, says: "node is damaged"},
		"no journal":                        {damage: without("journal"), says: "the other copy of the log has it"},
		"no second copy":                    {damage: without("log", "newest"), says: "the other copy of the log has it"},
		"journal":                           {damage: spoilt("journal/0*.raw"), says: "the other copy of the log has it"},
		"tail":                              {damage: spoilt("newest/0*.raw"), says: "the other copy of the log has it"},
		"no log":                            {damage: without(copies...), says: "are missing"},
		"no log, no snapshot":               {damage: without(append(copies, "snapshots")...), says: "are missing"},
		"entry after the snapshots":         {damage: losing(11), says: "entries 11 to 11 cannot be read"},
		"entry between snapshots":           {damage: losing(6), says: "entries 6 to 6 cannot be read"},
		"entries before snapshots":          {damage: losing(2, 6), says: "entries 2 to 2, 6 to 6 cannot be read"},
		"entries before and after":          {damage: losing(2, 11), says: "cannot be read"},
		"first entries":                     {damage: losing(1, 2), says: "entry 3: the log begins here"},
		"end of the log":                    {damage: losing(9, 10, 11, 12, 13, 14), says: "the log ends before it"},
		"end of a batch":                    {damage: losing(14), says: "cut off"},
		"middle of a batch":                 {damage: losing(13), says: "entries 13 to 13 cannot be read"},
		"forged entry":                      {damage: altered(11, `"n":11`, `"n":99`, false), says: "entry 11"},
		"forged entry, its chain too":       {damage: altered(11, `"n":11`, `"n":99`, true), says: "entry 11"},
		"forged entry before a snapshot":    {damage: altered(5, `"n":5`, `"n":9`, true), says: "entry 5"},
		"forged key":                        {damage: altered(9, `"key-9"`, `"key-8"`, true), says: "entry 9"},
		"loss and damaged older snapshot":   {damage: all(losing(11), spoilt(oldestSnapshot)), says: "entries 11 to 11 cannot be read"},
		"loss and damaged newest snapshot":  {damage: all(losing(9), spoilt(newestSnapshot)), says: "entries 9 to 9 cannot be read"},
		"loss between, older snapshot gone": {damage: all(losing(6), spoilt(olderSnapshot)), says: "entries 6 to 6 cannot be read"},
		"broken-off repair":                 {damage: brokenOff, says: "a repair was broken off"},
		"base, another after it":            {damage: all(rested(7), spoilt(olderSnapshot)), says: "the log rests on it: restore it from a backup; serve starts without it, from snapshot 10"},
		"base":                              {damage: all(rested(10), spoilt(newestSnapshot)), says: "the log rests on it: restore it from a backup, or run: "},
		"keys of the base":                  {damage: all(rested(7), spoilt(olderKeys)), says: olderKeys + " is damaged"},
		"keys of the base, no other":        {damage: all(rested(10), spoilt(newestKeys)), says: newestKeys + " is damaged"},
		"loss after the base":               {damage: all(rested(7), losing(9)), says: "entries 9 to 9"},
		"no tail":                           {damage: without("newest")}, // A power cut may take its end.
		"first entries after the base":      {damage: all(rested(4), losing(5, 6)), says: "entries 5 to 6 cannot be read"},
		"first entries, no snapshot":        {damage: all(losing(1, 2), without("snapshots")), says: "entry 3: the log begins here"},
		"other domains":                     {damage: func(w *witness) { w.part = strict }, says: "the state differs"},
		"base of other domains":             {damage: otherBase, says: "the log rests on it: restore it from a backup, or run: "},
		"loss, then its snapshot":           {damage: lostAgain, says: "there is no snapshot after it: restore a snapshot from a backup"},
		"import":                            {damage: spoilt("imports/*"), says: "entry 6", of: imports},
		"no import":                         {damage: without("imports"), says: "entry 6", of: imports},
		"import, no snapshot after it":      {damage: all(without("imports"), without(newestSnapshot, olderSnapshot)), says: "entry 6", of: imports},
		"left import": {damage: func(w *witness) {
			require.NoError(w, os.WriteFile(filepath.Join(w.dir, "imports/left.json"), []byte("{}"), 0o600))
		}, of: imports},
	} {
		for _, restores := range []bool{false, true} {
			if restores && !strings.HasPrefix(name, "no log") && !strings.HasPrefix(name, "import") && !strings.HasPrefix(name, "base") {
				continue
			}
			t.Run(fmt.Sprintf("%s/restores=%t", name, restores), func(t *testing.T) {
				t.Parallel()
				of := tc.of
				if of == nil {
					of = plain
				}
				w := of.in(t)
				w.restores = restores
				tc.damage(w)
				_, err := w.verify()
				if tc.says == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, tc.says)
				}
				w.follow()
			})
		}
	}
}
