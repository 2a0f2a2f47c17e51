package swoosh_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The job shop has had three shapes: jobs got a priority in version 2; in version 3
// their owner, formerly holder, and the table of plans, formerly drafts, were renamed,
// and the color of jobs and the limit of the shop removed.

type shop1 struct {
	Limit  uint32                        `json:"limit"`
	Open   bool                          `json:"open"`
	Jobs   swoosh.Table[noun.ID, job1]   `json:"jobs"`
	Drafts swoosh.Table[noun.ID, draft1] `json:"drafts"`
}

type job1 struct {
	Holder noun.Name `json:"holder"`
	Color  noun.Text `json:"color"`
	Size   uint32    `json:"size"`
}

type draft1 struct {
	Text noun.Text `json:"text"`
}

type shop2 struct {
	Limit  uint32                        `json:"limit"`
	Open   bool                          `json:"open"`
	Jobs   swoosh.Table[noun.ID, job2]   `json:"jobs"`
	Drafts swoosh.Table[noun.ID, draft1] `json:"drafts"`
}

type job2 struct {
	Holder   noun.Name `json:"holder"`
	Color    noun.Text `json:"color"`
	Size     uint32    `json:"size"`
	Priority uint32    `json:"priority"`
}

type shop3 struct {
	_     struct{}                      `swoosh:"removed=limit"`
	Open  bool                          `json:"open"`
	Jobs  swoosh.Table[noun.ID, job3]   `json:"jobs"`
	Plans swoosh.Table[noun.ID, draft1] `json:"plans" swoosh:"was=drafts"`
}

type job3 struct {
	_        struct{}  `swoosh:"removed=color"`
	Owner    noun.Name `json:"owner" swoosh:"was=holder"`
	Size     uint32    `json:"size"`
	Priority uint32    `json:"priority"`
}

// Validate refuses a size that a step cannot have made.
func (s shop3) Validate() error {
	for id, j := range s.Jobs.All() {
		if j.Size == 666 {
			return swoosh.FieldError{Pointer: "/jobs/" + string(id) + "/size", Detail: "must not be 666"}
		}
	}
	return nil
}

func withPriority(old shop1) shop2 {
	s := shop2{Limit: old.Limit, Open: old.Open, Drafts: old.Drafts}
	for id, j := range old.Jobs.All() {
		s.Jobs.Put(id, job2{j.Holder, j.Color, j.Size, j.Size % 10})
	}
	return s
}

// withPriority3 is withPriority as it was rewritten for version 3, so that shop2 could
// go.
func withPriority3(old shop1) shop3 {
	s := shop3{Open: old.Open, Plans: old.Drafts}
	for id, j := range old.Jobs.All() {
		s.Jobs.Put(id, job3{Owner: j.Holder, Size: j.Size, Priority: j.Size % 10})
	}
	return s
}

// addJob is the command that adds a job, the same in all versions.
type addJob struct {
	Job   noun.ID   `json:"job"`
	Name  noun.Name `json:"name"`
	Color noun.Text `json:"color"`
	Size  uint32    `json:"size"`
}

type addJob1 addJob

func (addJob1) Check(swoosh.View) error { return nil }
func (c addJob1) Apply(s *shop1, _ swoosh.Stamp) {
	s.Open, s.Limit = true, s.Limit+1
	s.Jobs.Put(c.Job, job1{c.Name, c.Color, c.Size})
	s.Drafts.Put("d-"+c.Job, draft1{c.Color})
}

type addJob2 addJob

func (addJob2) Check(swoosh.View) error { return nil }
func (c addJob2) Apply(s *shop2, _ swoosh.Stamp) {
	s.Open, s.Limit = true, s.Limit+1
	s.Jobs.Put(c.Job, job2{c.Name, c.Color, c.Size, 9})
	s.Drafts.Put("d-"+c.Job, draft1{c.Color})
}

type addJob3 addJob

func (addJob3) Check(swoosh.View) error { return nil }
func (c addJob3) Apply(s *shop3, _ swoosh.Stamp) {
	s.Open = true
	s.Jobs.Put(c.Job, job3{Owner: c.Name, Size: c.Size, Priority: 9})
	s.Plans.Put("d-"+c.Job, draft1{c.Color})
}

var shops = map[uint32]swoosh.Part{
	1: swoosh.NewDomain("shop", swoosh.On[addJob1]("add", "Add a job.")),
	2: swoosh.NewDomain("shop", swoosh.On[addJob2]("add", "Add a job."), swoosh.Migrate("2: jobs get a priority", withPriority)),
	3: swoosh.NewDomain("shop", swoosh.On[addJob3]("add", "Add a job."),
		swoosh.Renamed[shop3]("3: holders own", swoosh.Migrate("2: jobs get a priority", withPriority3))),
}

// shopOptions are those of the program whose data has a version.
func shopOptions(dir string, version uint32) swoosh.Options {
	o := vault(dir)
	o.Program, o.Version, o.Commit = "shopper", fmt.Sprintf("%d.0", version), fmt.Sprintf("c0ffee%d", version)
	return o
}

// openShop opens the program whose data has a version.
func openShop(t testing.TB, dir string, version uint32, more ...swoosh.Part) *swoosh.Engine {
	t.Helper()
	e, err := swoosh.Open(context.Background(), shopOptions(dir, version), append(more, shops[version])...)
	require.NoError(t, err)
	return e
}

// addJobs submits jobs from one number to another.
func addJobs(t testing.TB, e *swoosh.Engine, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		_, err := e.Submit(context.Background(), jobRequest(n))
		require.NoError(t, err)
	}
}

func jobRequest(n int) swoosh.Request {
	return swoosh.Request{
		Command: "shop.add", IdempotencyKey: fmt.Sprintf("job-%d", n),
		Payload: fmt.Appendf(nil, `{"color":"red","job":"j-%d","name":"anna","size":%d}`, n, 10*n+n%7),
	}
}

// shopDir is what a program left that added 20 jobs and stopped.
func shopDir(t testing.TB, version uint32) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	e := openShop(t, dir, version)
	addJobs(t, e, 1, 20)
	closeEngine(t, e)
	return dir
}

// requireShop wants the state of a version with jobs, of which those up to one were
// added by the first version, those up to another by the second, and the rest by the
// third.
func requireShop(t testing.TB, e *swoosh.Engine, version uint32, first, second, last int) {
	t.Helper()
	doc := document(t, e.View())
	for n := 1; n <= last; n++ {
		size, priority := 10*n+n%7, 9
		if n <= first {
			priority = size % 10
		}
		row := fmt.Sprintf(`"j-%d":{"color":"red","holder":"anna","priority":%d,"size":%d}`, n, priority, size)
		if version == 3 {
			row = fmt.Sprintf(`"j-%d":{"owner":"anna","priority":%d,"size":%d}`, n, priority, size)
		}
		require.Contains(t, strings.ReplaceAll(doc, `"priority":0,`, ""), strings.ReplaceAll(row, `"priority":0,`, ""))
		require.Contains(t, doc, fmt.Sprintf(`"d-j-%d":{"text":"red"}`, n))
	}
	require.Equal(t, version == 2, strings.Contains(doc, `"limit"`))
	hash, err := swoosh.ComputeStateHash([]byte(doc))
	require.NoError(t, err)
	require.Equal(t, hash, e.View().StateHash())
}

// lastEntry returns the last entry of an engine's log.
func lastEntry(t testing.TB, e *swoosh.Engine) *swoosh.Entry {
	t.Helper()
	for r, err := range e.Records(e.View().Index(), e.View().Index()) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		return x
	}
	t.Fatal("the log is empty")
	return nil
}
