package swoosh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/store"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestUpgrades: what each shop makes of what the one before has left.
func TestUpgrades(t *testing.T) {
	swooshtest.RunUpgrades(t, "testdata/upgrade", []swoosh.Part{shops[1]}, []swoosh.Part{shops[2]}, []swoosh.Part{shops[3]})
}

// TestForceIsNotForMigrations: data of before is not in the log in its new shape.
func TestForceIsNotForMigrations(t *testing.T) {
	dir := shopDir(t, 1)
	o := shopOptions(dir, 2)
	o.ForceReplay = true
	_, err := swoosh.Open(t.Context(), o, shops[2])
	require.ErrorContains(t, err, "start without --force-replay")
	closeEngine(t, openShop(t, dir, 2))
	e, err := swoosh.Open(t.Context(), o, shops[2])
	require.NoError(t, err, "the migration is the base now")
	closeEngine(t, e)
}

// TestStartMigrates: the first start of a program with other data brings it to its
// version, says so in the log, and rests on that from then on.
func TestStartMigrates(t *testing.T) {
	for _, tc := range []struct{ from, to uint32 }{{1, 2}, {2, 3}, {1, 3}} {
		t.Run(fmt.Sprintf("D3/%d to %d", tc.from, tc.to), func(t *testing.T) {
			dir := shopDir(t, tc.from)
			first, second := 20, 20
			if tc.from == 2 {
				first = 0
			}
			e := openShop(t, dir, tc.to)
			requireShop(t, e, tc.to, first, second, 20)
			x := lastEntry(t, e)
			require.Equal(t, uint64(21), x.Index)
			require.Equal(t, swoosh.MigrateCommand, x.Command)
			require.Equal(t, e.View().StateHash(), x.StateHash)
			require.True(t, x.Changed)
			var p struct {
				Domain    string
				From, To  uint32
				MadeBy    struct{ Program, Version string } `json:"made_by"`
				StateHash swoosh.Hash                       `json:"state_hash"`
			}
			require.NoError(t, json.Unmarshal(x.Payload, &p))
			require.Equal(t, "shop", p.Domain)
			require.Equal(t, tc, struct{ from, to uint32 }{p.From, p.To})
			require.Equal(t, x.StateHash, p.StateHash)
			require.Equal(t, "shopper", p.MadeBy.Program)
			require.Equal(t, fmt.Sprintf("%d.0", tc.from), p.MadeBy.Version)

			_, err := e.ViewAt(t.Context(), 20)
			requireKind(t, swoosh.Compacted, err)
			require.ErrorContains(t, err, fmt.Sprintf("shopper %d.0", tc.from), "it says which program can")
			r, err := e.Submit(t.Context(), jobRequest(20))
			require.NoError(t, err)
			require.True(t, r.Duplicate, "keys outlive it")
			addJobs(t, e, 21, 25)
			v, err := e.ViewAt(t.Context(), 23)
			require.NoError(t, err)
			require.Equal(t, uint64(23), v.Index())
			killed := crashed(t, dir)
			closeEngine(t, e)
			for _, dir := range []string{dir, killed} {
				o := shopOptions(dir, tc.to)
				report, err := repair.Verify(t.Context(), o, shops[tc.to])
				require.NoError(t, err)
				require.Equal(t, uint64(21), report.Base)
				e = openShop(t, dir, tc.to)
				requireShop(t, e, tc.to, first, 25, 25)
				require.Equal(t, uint64(26), e.View().Index(), "it is done once")
				closeEngine(t, e)
				_, err = swoosh.Open(t.Context(), shopOptions(dir, tc.from), shops[tc.from])
				require.ErrorContains(t, err, fmt.Sprintf("has version %d", tc.to))
				require.ErrorContains(t, err, fmt.Sprintf("use shopper %d.0", tc.to))
			}
		})
	}
}

// steppedWAL calls after with each thing that was written.
type steppedWAL struct {
	swoosh.WAL
	after func(string)
}

func (w steppedWAL) Append(group []swoosh.Record) error {
	err := w.WAL.Append(group)
	w.after("entries")
	return err
}

type steppedStore struct {
	swoosh.SnapshotStore
	after func(string)
}

func (s steppedStore) Save(name string, write func(swoosh.SnapshotFile) error) error {
	s.after("before " + name)
	err := s.SnapshotStore.Save(name, write)
	s.after(name)
	return err
}

// TestKilledWhileMigrating at every step leaves a directory from which the old program
// goes on, or from which the new one does to the same state as if nothing had happened.
func TestKilledWhileMigrating(t *testing.T) {
	dir := shopDir(t, 1)
	o := shopOptions(dir, 2)
	type kill struct{ step, dir string }
	var kills []kill
	after := func(step string) { kills = append(kills, kill{step, crashed(t, dir)}) }
	o.OpenWAL = func(dir string) (swoosh.WAL, error) {
		wal, err := swoosh.OpenBadgerWAL(dir, o.Logger)
		after("open")
		return steppedWAL{wal, after}, err
	}
	o.Snapshots = steppedStore{store.NewFiles(dir, durable.OS()), after}
	e, err := swoosh.Open(t.Context(), o, shops[2])
	require.NoError(t, err)
	after("made_by")
	want := e.View()
	closeEngine(t, e)
	var steps []string
	for _, k := range kills {
		steps = append(steps, k.step)
		t.Run("D2/"+k.step, func(t *testing.T) {
			testrun.Sample(t)
			if k.step == "open" {
				old := crashed(t, k.dir)
				e := openShop(t, old, 1)
				addJobs(t, e, 21, 21)
				closeEngine(t, e)
			} else {
				_, err := swoosh.Open(t.Context(), shopOptions(crashed(t, k.dir), 1), shops[1])
				require.ErrorContains(t, err, "version 2")
			}
			e := openShop(t, k.dir, 2)
			require.Equal(t, want.Index(), e.View().Index())
			require.Equal(t, want.StateHash(), e.View().StateHash())
			requireShop(t, e, 2, 20, 20, 20)
			closeEngine(t, e)
			_, err := repair.Verify(t.Context(), shopOptions(k.dir, 2), shops[2])
			require.NoError(t, err)
		})
	}
	require.Equal(t, []string{
		"open", "entries", "before " + swoosh.KeysName(21), swoosh.KeysName(21), "before " + swoosh.SnapshotName(21), swoosh.SnapshotName(21), "made_by",
	}, steps)
}

// afterEntries is a directory of a start that was killed after it wrote the entries of
// a migration, before it saved the new base.
func afterEntries(t *testing.T, from, to uint32) string {
	t.Helper()
	dir := shopDir(t, from)
	e := openShop(t, dir, to)
	closeEngine(t, e)
	require.NoError(t, os.Remove(filepath.Join(dir, swoosh.SnapshotName(21))))
	require.NoError(t, os.Remove(filepath.Join(dir, swoosh.KeysName(21))))
	return dir
}

func shopRefusal(t *testing.T, dir string, part swoosh.Part) *swoosh.DamageError {
	t.Helper()
	files := listing(t, dir)
	e, err := swoosh.Open(t.Context(), shopOptions(dir, 9), part)
	if err == nil {
		closeEngine(t, e)
	}
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, files, listing(t, dir), "nothing is changed")
	return d
}

// TestMigrationIsRefused where it cannot be done as it was meant. Nothing is changed
// then, and the program of before still starts.
func TestMigrationIsRefused(t *testing.T) {
	testrun.SkipUnderRace(t)
	shop := func(f func(shop1) shop3) swoosh.Part {
		return swoosh.NewDomain("shop", swoosh.On[addJob3]("add", "Add a job."), swoosh.Renamed[shop3]("3: a", swoosh.Migrate("2: b", f)))
	}
	spoilt := func(spoil func(*shop3)) swoosh.Part {
		return shop(func(old shop1) shop3 {
			s := withPriority3(old)
			spoil(&s)
			return s
		})
	}
	type narrow struct {
		Jobs swoosh.Table[noun.ID, job1] `json:"jobs"`
	}
	type untagged struct {
		Limit  uint32                        `json:"limit"`
		Open   bool                          `json:"open"`
		Jobs   swoosh.Table[noun.ID, draft1] `json:"jobs"`
		Drafts swoosh.Table[noun.ID, draft1] `json:"drafts"`
	}
	for name, tc := range map[string]struct {
		part   swoosh.Part
		detail string
	}{
		"a state that its domain refuses": {spoilt(func(s *shop3) { s.Jobs.Put("j-3", job3{Size: 666}) }), "/shop/jobs/j-3/size must not be 666"},
		"a row that its noun refuses":     {spoilt(func(s *shop3) { s.Jobs.Put("j-4", job3{Owner: "\x01"}) }), "/shop/jobs/j-4/owner"},
		"a key that its noun refuses":     {spoilt(func(s *shop3) { s.Jobs.Put("No Id", job3{}) }), "/shop/jobs/No Id"},
		"a step that panics":              {spoilt(func(s *shop3) { panic("no luck") }), "no luck"},
		"a shape of old that lacks members": {
			swoosh.NewDomain("shop", swoosh.Migrate("2: a", func(narrow) shop2 { return shop2{} })), "/shop/drafts is not a member of version 1"},
		"a shape of old whose rows lack members": {
			swoosh.NewDomain("shop", swoosh.Migrate("2: a", func(untagged) shop2 { return shop2{} })), "/shop/jobs/j-1/color is not a member"},
		"data that is too old": {
			swoosh.NewDomain("shop", swoosh.Migrate("3: a", func(shop2) shop2 { return shop2{} })), "has version 1, and this program migrates it from 2 on"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shopDir(t, 1)
			d := shopRefusal(t, dir, tc.part)
			require.Contains(t, d.Error(), tc.detail)
			require.NotContains(t, d.Next, "--accept")
			e := openShop(t, dir, 1)
			addJobs(t, e, 21, 21)
			closeEngine(t, e)
		})
	}
	t.Run("a step that was changed after it was recorded", func(t *testing.T) {
		dir := afterEntries(t, 1, 3)
		d := shopRefusal(t, dir, spoilt(func(s *shop3) { s.Open = !s.Open }))
		require.Equal(t, uint64(21), d.Index)
		require.Contains(t, d.Detail, "one was changed, or depends on more than its argument")
		closeEngine(t, openShop(t, dir, 3))
	})
	t.Run("a program of a third version after it was recorded", func(t *testing.T) {
		dir := afterEntries(t, 1, 2)
		d := shopRefusal(t, dir, shops[3])
		require.Contains(t, d.Error(), "it brings the data of shop to version 2, and this program's is 3")
		closeEngine(t, openShop(t, dir, 2))
	})
}

// TestEntriesAfterTheSnapshotAreNotMigrated: what an unclean stop left is for the
// program that wrote it, unless an operator accepts this one's rules for it.
func TestEntriesAfterTheSnapshotAreNotMigrated(t *testing.T) {
	dir := shopDir(t, 1)
	e := openShop(t, dir, 1)
	addJobs(t, e, 21, 22)
	killed := crashed(t, dir)
	closeEngine(t, e)
	accepted := crashed(t, killed)
	d := shopRefusal(t, killed, shops[2])
	require.Equal(t, uint64(21), d.Index)
	require.Contains(t, d.Next, "start shopper 1.0 once and stop it, then start this program; or run: shopper repair "+killed+" --accept-reducer")
	closeEngine(t, openShop(t, killed, 1))
	e = openShop(t, killed, 2)
	requireShop(t, e, 2, 22, 22, 22)
	closeEngine(t, e)

	report, err := repair.Repair(t.Context(), shopOptions(accepted, 2), acceptReducer, shops[2])
	require.NoError(t, err)
	require.Empty(t, report.Next)
	e = openShop(t, accepted, 2)
	requireShop(t, e, 2, 20, 22, 22)
	closeEngine(t, e)
}

// TestDomainsMigrateTogether: their entries are an atomic batch, so that no reader sees
// one of them alone.
func TestDomainsMigrateTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	count := func(s small) small { return small{s.Count * 2} }
	o := shopOptions(dir, 1)
	e, err := swoosh.Open(t.Context(), o, swoosh.NewDomain("abacus", swoosh.On[countUp]("up", "Count.")), shops[1], ledger)
	require.NoError(t, err)
	submit(t, e, "abacus.up", countUp{})
	addJobs(t, e, 2, 20)
	closeEngine(t, e)
	abacus := swoosh.NewDomain("abacus", swoosh.On[countUp]("up", "Count."), swoosh.Migrate("2: doubled", count))
	for range 2 {
		e, err = swoosh.Open(t.Context(), shopOptions(dir, 3), ledger, shops[3], abacus)
		require.NoError(t, err)
		require.Equal(t, uint64(22), e.View().Index())
		require.Equal(t, uint32(2), abacus.Of(e.View()).Count)
		require.Equal(t, swoosh.Batch{First: 21, Count: 2}, lastEntry(t, e).Batch)
		next := uint64(1)
		for r, err := range e.Watch(t.Context(), 1) {
			require.NoError(t, err)
			require.Equal(t, next, r.Index, "followers see every entry")
			if next++; next > 22 {
				break
			}
		}
		killed := crashed(t, dir)
		closeEngine(t, e)
		dir = killed
		require.NoError(t, os.RemoveAll(filepath.Join(dir, swoosh.SnapshotName(22))))
	}
}

type countUp struct{}

func (countUp) Check(swoosh.View) error        { return nil }
func (countUp) Apply(s *small, _ swoosh.Stamp) { s.Count++ }

// TestMigratedRowsAreTheStepsOfTheOldOnes: whatever rows there were, each is what the
// step makes of it, and the hash is that of the document.
func TestMigratedRowsAreTheStepsOfTheOldOnes(t *testing.T) {
	text := rapid.StringMatching(`[ -~é]{0,8}`)
	rapid.Check(t, func(rt *rapid.T) {
		wal, snapshots := swoosh.NewMemWAL(), swoosh.NewInMemorySnapshotStore()
		open := func(version uint32) *swoosh.Engine {
			o := shopOptions("", version)
			o.Snapshots, o.OpenWAL = snapshots, func(string) (swoosh.WAL, error) { return wal, nil }
			e, err := swoosh.Open(context.Background(), o, shops[version])
			require.NoError(rt, err)
			return e
		}
		e := open(1)
		for range rapid.IntRange(0, 12).Draw(rt, "jobs") {
			_, err := e.Submit(context.Background(), swoosh.Request{Command: "shop.add", Payload: addJob1{
				Job: noun.ID(rapid.StringMatching(`j-[a-c]{1,2}`).Draw(rt, "job")), Name: noun.Name(text.Draw(rt, "name")), Color: noun.Text(text.Draw(rt, "color")),
				Size: rapid.Uint32Range(0, 600).Draw(rt, "size"),
			}})
			if !swoosh.InvalidPayload.Is(err) {
				require.NoError(rt, err)
			}
		}
		old := shops[1].(*swoosh.Domain[shop1]).Of(e.View())
		closeEngine(t, e)
		to := rapid.SampledFrom([]uint32{2, 3}).Draw(rt, "to")
		e = open(to)
		doc := document(t, e.View())
		hash, err := swoosh.ComputeStateHash([]byte(doc))
		require.NoError(rt, err)
		require.Equal(rt, hash, e.View().StateHash())
		switch to {
		case 2:
			sameRows(rt, withPriority(old).Jobs, shops[2].(*swoosh.Domain[shop2]).Of(e.View()).Jobs)
		case 3:
			now := shops[3].(*swoosh.Domain[shop3]).Of(e.View())
			sameRows(rt, withPriority3(old).Jobs, now.Jobs)
			sameRows(rt, old.Drafts, now.Plans)
			require.Equal(rt, old.Open, now.Open)
		}
		closeEngine(t, e)
	})
}

func sameRows[K ~string, V any](t require.TestingT, want, got swoosh.Table[K, V]) {
	require.Equal(t, maps.Collect(want.All()), maps.Collect(got.All()))
}

// TestAMigrationIsShownBeforeItIsDone: repair says what a start will do, verify checks
// what this program can; neither changes anything.
func TestAMigrationIsShownBeforeItIsDone(t *testing.T) {
	for name, dir := range map[string]string{"due": shopDir(t, 1), "broken off": afterEntries(t, 1, 3)} {
		t.Run(name, func(t *testing.T) {
			files := listing(t, dir)
			report, err := repair.Repair(t.Context(), shopOptions(dir, 3), repair.Accept{}, shops[3])
			require.NoError(t, err)
			require.Empty(t, report.Next)
			require.Equal(t, []string{
				"A start brings the data of shop from version 1 to 3 (2: jobs get a priority; 3: holders own): 61 rows change.",
				`For example /shop/jobs/j-1: {"color":"red","holder":"anna","size":11} becomes {"owner":"anna","priority":1,"size":11}.`,
			}, report.Findings)
			tried, err := repair.Preflight(t.Context(), shopOptions(dir, 3), shops[3])
			require.NoError(t, err)
			require.True(t, tried.IsClean())
			require.Len(t, tried.Migrates, 1)
			require.Equal(t, "/shop/jobs/j-1", tried.Migrates[0].Path)
			verified, err := repair.Verify(t.Context(), shopOptions(dir, 3), shops[3])
			require.NoError(t, err)
			require.Equal(t, uint64(20), verified.Base, "what is before it is the old program's to replay")
			require.Equal(t, files, listing(t, dir))
			closeEngine(t, openShop(t, dir, 3))
		})
	}
	t.Run("with an entry after the snapshot", func(t *testing.T) {
		dir := shopDir(t, 1)
		e := openShop(t, dir, 1)
		addJobs(t, e, 21, 21)
		killed := crashed(t, dir)
		closeEngine(t, e)
		_, err := repair.Verify(t.Context(), shopOptions(killed, 3), shops[3])
		require.ErrorContains(t, err, "start shopper 1.0 once")
	})
}
