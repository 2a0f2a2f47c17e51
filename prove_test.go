package swoosh_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// bankRules are the rules of a small domain, which a test exchanges as an edit of
// its code would.
type bankRules struct {
	apply func(c bankMove, s *bankState)
	most  int32 // that Validate, Check and a row's limit let pass
}

var bankNow bankRules

func moveAsEver(c bankMove, s *bankState) {
	a, _ := s.Accounts.Get(c.Account)
	a.Balance += limited(c.Amount)
	a.Last = c.Amount
	if a.Balance > 20 {
		a.Tier = "gold"
	}
	s.Moves++
	s.Accounts.Put(c.Account, a)
}

var bankThen = bankRules{moveAsEver, 1000}

type bankState struct {
	Moves    uint32                         `json:"moves"`
	Accounts swoosh.Table[noun.ID, bankRow] `json:"accounts"`
}

type bankRow struct {
	Balance limited   `json:"balance"`
	Last    int32     `json:"last"`
	Tier    noun.Text `json:"tier"`
}

type limited int32

func (n limited) Validate() error { return bankMove{Amount: int32(n)}.Check(swoosh.View{}) }

type bankMove struct {
	Account noun.ID `json:"account"`
	Amount  int32   `json:"amount"`
}

func (c bankMove) Validate() error { return c.Check(swoosh.View{}) }

func (c bankMove) Check(swoosh.View) error {
	if c.Amount > bankNow.most {
		return swoosh.Errorf(swoosh.Conflict, "%d is more than %d", c.Amount, bankNow.most)
	}
	return nil
}

func (c bankMove) Apply(s *bankState, _ swoosh.Stamp) { bankNow.apply(c, s) }

type bankNote struct{}

func (bankNote) Check(swoosh.View) error            { return nil }
func (bankNote) Apply(s *bankState, _ swoosh.Stamp) {}

var (
	bank  = swoosh.NewDomain("bank", swoosh.On[bankMove]("move", "Move money."))
	noted = swoosh.NewDomain("bank", swoosh.On[bankMove]("move", "Move money."), swoosh.On[bankNote]("note", "Note."))
)

// bankMoves is a history on which every rule of the domain shows.
var bankMoves = []int32{5, 7, 9, 5, 8, 8, -3, 6, 2, 30, 1, -7}

// era is what the programs of a test share: a log and its snapshots.
type era struct {
	t     *testing.T
	wal   *heldLog
	store swoosh.SnapshotStore
}

// heldLog is a log that outlives the engine. While it is held, nobody reads on from
// its first entry, as a proof does.
type heldLog struct {
	swoosh.WAL
	mu sync.Mutex
}

func (*heldLog) Close() error { return nil }

func (l *heldLog) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	if from == 1 && to > 1 {
		l.mu.Lock()
		l.mu.Unlock()
	}
	return l.WAL.Read(from, to)
}

// newEra has a program of commit old write a history. Stopped in order it leaves a
// snapshot of the last entry; killed, only one of the middle.
func newEra(t *testing.T, killed bool) *era {
	h := &era{t, &heldLog{WAL: swoosh.NewMemWAL()}, swoosh.NewInMemorySnapshotStore()}
	e := h.start("old", bankThen, bank)
	for i := range bankMoves {
		move(t, e, i)
		if i == len(bankMoves)/2 {
			_, err := e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	closeEngine(t, e)
	if last := uint64(len(bankMoves)); killed {
		require.NoError(t, h.store.Remove(swoosh.SnapshotName(last)))
		require.NoError(t, h.store.Remove(swoosh.KeysName(last)))
	}
	return h
}

func move(t testing.TB, e *swoosh.Engine, i int) {
	submit(t, e, "bank.move", bankMove{noun.ID(fmt.Sprintf("a%d", i%3)), bankMoves[i]})
}

func (h *era) open(commit string, rules bankRules, part swoosh.Part, change func(*swoosh.Options)) (*swoosh.Engine, error) {
	bankNow = rules
	o := swoosh.Options{
		Node: "test", Now: swooshtest.NewClock(1_767_225_600_000).Now, Logger: textLogger(io.Discard), Snapshots: h.store,
		Program: "bank", Version: "1." + commit, Commit: commit,
		OpenWAL: func(string) (swoosh.WAL, error) { return h.wal, nil },
	}
	if change != nil {
		change(&o)
	}
	return swoosh.Open(h.t.Context(), o, part)
}

func (h *era) start(commit string, rules bankRules, part swoosh.Part) *swoosh.Engine {
	h.t.Helper()
	e, err := h.open(commit, rules, part, nil)
	require.NoError(h.t, err)
	return e
}

// stamp returns the commit of the newest snapshot.
func (h *era) stamp() string {
	h.t.Helper()
	names, err := h.store.List("snapshots")
	require.NoError(h.t, err)
	_, after, found := strings.Cut(string(readStored(h.t, h.store, names[len(names)-1])), `"commit":"`)
	require.True(h.t, found)
	stamp, _, _ := strings.Cut(after, `"`)
	return stamp
}

// proved waits for the end of the proof.
func proved(e *swoosh.Engine) swoosh.History {
	for e.Health().History.State == "proving" {
		runtime.Gosched()
	}
	return e.Health().History
}

func edited(apply func(c bankMove, s *bankState)) bankRules { return bankRules{apply, 1000} }

// healing is an edit whose effect is gone at the log's end: the next move of the
// account writes what it changed.
var healing = edited(func(c bankMove, s *bankState) {
	moveAsEver(c, s)
	if s.Moves == 3 {
		a, _ := s.Accounts.Get(c.Account)
		a.Last++
		s.Accounts.Put(c.Account, a)
	}
})

func TestStartOfAnotherProgram(t *testing.T) {
	last := uint64(len(bankMoves))
	whole := swoosh.History{State: "proved", Proved: last, Target: last}
	tight := bankRules{moveAsEver, 3}
	for _, tc := range []struct {
		name   string
		commit string
		rules  bankRules
		part   swoosh.Part
		killed bool
		at     uint64 // the entry that differs; 0: none
		refuse bool   // whether the start refuses it
	}{
		{"the same build", "old", bankThen, bank, false, 0, false},
		{"another commit", "new", bankThen, bank, false, 0, false},
		{"without a commit", "", bankThen, bank, false, 0, false},
		{"a command is added", "new", bankThen, noted, false, 0, false},
		{"a rule refuses more", "new", tight, bank, false, 0, false},
		{"a rule refuses more, with a tail", "new", tight, bank, true, 0, false},
		{"another commit, with a tail", "new", bankThen, bank, true, 0, false},
		{"a rule that heals", "new", healing, bank, false, 3, false},
		{"a rule that heals below the tail", "new", healing, bank, true, 3, false},
		{"another rule", "new", edited(func(bankMove, *bankState) {}), bank, false, 1, false},
		{"another rule, with a tail", "new", edited(func(bankMove, *bankState) {}), bank, true, 8, true},
	} {
		t.Run("D3/"+tc.name, func(t *testing.T) {
			h := newEra(t, tc.killed)
			h.wal.mu.Lock()
			e, err := h.open(tc.commit, tc.rules, tc.part, nil)
			if tc.refuse {
				h.wal.mu.Unlock()
				var d *swoosh.DamageError
				require.ErrorAs(t, err, &d)
				require.Equal(t, tc.at, d.Index)
				require.Contains(t, d.Next, "start bank 1.old once and stop it, then start this program; or, if its domains were changed on purpose, run: bank repair --accept-reducer")
				return
			}
			require.NoError(t, err, "served before history is proved")
			require.Equal(t, last, e.View().Index())
			before := e.Health().History.State
			h.wal.mu.Unlock()
			if tc.commit == "old" {
				require.Equal(t, "proved", before)
			} else {
				require.Equal(t, "proving", before)
			}
			if got := proved(e); tc.at == 0 {
				want := whole
				if tc.killed {
					want = swoosh.History{State: "proved", Proved: 7, Target: 7}
				}
				require.Equal(t, want, got)
			} else {
				require.Equal(t, []any{"differs", tc.at}, []any{got.State, got.At})
			}
			closeEngine(t, e)
			want := tc.commit // The stamp is written last, and only if all is proved.
			switch {
			case (tc.at != 0 || want == "") && !tc.killed:
				want = "old" // Nothing changed, so the snapshot stays.
			case tc.at != 0:
				want = ""
			}
			require.Equal(t, want, h.stamp())
			e = h.start(tc.commit, tc.rules, tc.part)
			got := proved(e)
			require.Equal(t, tc.at, got.At, "it is found again")
			closeEngine(t, e)
		})
	}
}

// TestKilledWhileProving: what is saved meanwhile says nothing of the history, so
// the next start proves it.
func TestKilledWhileProving(t *testing.T) {
	h := newEra(t, false)
	h.wal.mu.Lock()
	e := h.start("new", healing, bank)
	move(t, e, 0)
	_, err := e.Snapshot(t.Context())
	require.NoError(t, err)
	require.Empty(t, h.stamp())
	killed := &era{t, &heldLog{WAL: swoosh.NewMemWAL()}, swoosh.NewInMemorySnapshotStore()}
	require.NoError(t, swoosh.CopyLog(killed.wal, h.wal.WAL))
	names, err := h.store.List("snapshots")
	require.NoError(t, err)
	for _, name := range names {
		content := readStored(t, h.store, name)
		require.NoError(t, killed.store.Save(name, func(f swoosh.SnapshotFile) error {
			_, err := f.Write(content)
			return err
		}))
	}
	h.wal.mu.Unlock()
	proved(e)
	closeEngine(t, e)
	e = killed.start("new", healing, bank)
	require.Equal(t, uint64(3), proved(e).At)
	closeEngine(t, e)
}

// TestHistoryThatDiffers calls Differs once. Without it, or if it fails, the engine
// is read-only; reads go on, and a stop leaves a snapshot of the last entry.
func TestHistoryThatDiffers(t *testing.T) {
	for name, tc := range map[string]struct {
		differs  func(context.Context, string) error
		readOnly bool
	}{
		"no hook":           {nil, true},
		"a hook":            {func(context.Context, string) error { return nil }, false},
		"a hook that fails": {func(context.Context, string) error { return io.ErrUnexpectedEOF }, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newEra(t, false)
			called := make(chan string, 2)
			h.wal.mu.Lock()
			e, err := h.open("new", healing, bank, func(o *swoosh.Options) {
				if tc.differs != nil {
					o.Differs = func(ctx context.Context, why string) error {
						called <- why
						return tc.differs(ctx, why)
					}
				}
			})
			require.NoError(t, err)
			move(t, e, 0)
			h.wal.mu.Unlock()
			proved(e)
			if tc.differs != nil {
				require.Regexp(t, "^history differs at entry 3: bank.move says state_hash [0-9a-f]{64}, replay gives [0-9a-f]{64}: use the program .*--accept-reducer$", <-called)
			}
			for tc.readOnly && e.Health().Mode == "ready" {
				runtime.Gosched()
			}
			if tc.readOnly {
				require.Contains(t, e.Health().Reasons[0], "history differs at entry 3")
				_, err := e.Submit(t.Context(), swoosh.Request{Command: "bank.move", Payload: bankMove{"a", 1}})
				requireKind(t, swoosh.ReadOnly, err)
			}
			end := e.View().Index()
			closeEngine(t, e)
			require.Empty(t, called)
			names, err := h.store.List("snapshots")
			require.NoError(t, err)
			require.Contains(t, names, swoosh.SnapshotName(end))
			e = h.start("old", bankThen, bank)
			require.Equal(t, end, e.View().Index(), "the program of before starts")
			closeEngine(t, e)
		})
	}
}

// TestARowOverALimitStays as it is when the limit is lowered.
func TestARowOverALimitStays(t *testing.T) {
	h := newEra(t, false)
	e := h.start("new", bankRules{moveAsEver, 3}, bank)
	a, ok := bank.Of(e.View()).Accounts.Get("a0")
	require.True(t, ok)
	require.Greater(t, int32(a.Balance), int32(3))
	_, err := e.Submit(t.Context(), swoosh.Request{Command: "bank.move", Payload: bankMove{"a0", 4}})
	requireKind(t, swoosh.InvalidPayload, err)
	closeEngine(t, e)
}

// hashes returns the state after each entry of the history, as a program makes it
// that lives through it.
func hashes(t *testing.T, rules bankRules) (all []swoosh.Hash) {
	h := &era{t, &heldLog{WAL: swoosh.NewMemWAL()}, swoosh.NewInMemorySnapshotStore()}
	e := h.start("old", rules, bank)
	for i := range bankMoves {
		move(t, e, i)
		all = append(all, e.View().StateHash())
	}
	closeEngine(t, e)
	return all
}

// firstOther returns the first entry with another state; 0: there is none.
func firstOther(was, now []swoosh.Hash) uint64 {
	for i, hash := range now {
		if hash != was[i] {
			return uint64(i + 1)
		}
	}
	return 0
}

// TestEditsAreFound: each edit of a rule that shows on the history is found, at the
// entry where it first shows; edits that do not show are proved.
func TestEditsAreFound(t *testing.T) {
	was := hashes(t, bankThen)
	found, same := 0, 0
	for name, rules := range bankEdits() {
		want := firstOther(was, hashes(t, rules))
		require.Equal(t, strings.HasPrefix(name, "same"), want == 0, "%s: what the test says of it", name)
		h := newEra(t, false)
		e := h.start("new", rules, bank)
		require.Equal(t, want, proved(e).At, name)
		closeEngine(t, e)
		if want == 0 {
			same++
		} else {
			found++
		}
	}
	require.GreaterOrEqual(t, same, 20)
	require.GreaterOrEqual(t, found, 50)
}

// bankEdits returns variants of the rules: "same" is in the names of those that mean
// the same.
func bankEdits() map[string]bankRules {
	all := map[string]bankRules{}
	after := func(name string, then func(c bankMove, s *bankState, a *bankRow)) {
		all[name] = edited(func(c bankMove, s *bankState) {
			moveAsEver(c, s)
			a, _ := s.Accounts.Get(c.Account)
			then(c, s, &a)
			s.Accounts.Put(c.Account, a)
		})
	}
	for i, n := range bankMoves {
		at := uint32(i + 1)
		after(fmt.Sprintf("balance at move %d", at), func(_ bankMove, s *bankState, a *bankRow) {
			if s.Moves == at {
				a.Balance++
			}
		})
		after(fmt.Sprintf("last at move %d", at), func(_ bankMove, s *bankState, a *bankRow) {
			if s.Moves == at {
				a.Last = -99
			}
		})
		after(fmt.Sprintf("tier at move %d", at), func(_ bankMove, s *bankState, a *bankRow) {
			if s.Moves == at {
				a.Tier = "none"
			}
		})
		after(fmt.Sprintf("moves of %d at move %d", n, at), func(_ bankMove, s *bankState, a *bankRow) {
			if s.Moves == at {
				a.Balance -= limited(n)
			}
		})
		after(fmt.Sprintf("same: a zero is added at move %d", at), func(_ bankMove, s *bankState, a *bankRow) {
			if s.Moves == at {
				a.Balance += 0
			}
		})
		after(fmt.Sprintf("same: a balance is written twice at move %d", at), func(c bankMove, s *bankState, a *bankRow) {
			if s.Moves == at {
				s.Accounts.Delete(c.Account)
			}
		})
	}
	after("gold from 15", func(_ bankMove, _ *bankState, a *bankRow) {
		if a.Balance > 15 {
			a.Tier = "gold"
		}
	})
	after("same: gold is lost by an account that never had it", func(_ bankMove, _ *bankState, a *bankRow) {
		if a.Balance <= 20 && a.Tier != "gold" {
			a.Tier = ""
		}
	})
	all["healing"] = healing
	all["nothing is done"] = edited(func(bankMove, *bankState) {})
	return all
}
