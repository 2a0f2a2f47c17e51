package project_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

const firstMS = 1_767_225_600_000 // 2026-01-01T00:00:00Z

func open(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(firstMS)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, append(system.Parts(), project.Domain)...), clock
}

// payloads are the payloads to try each command with: several, if the payload
// decides where the command ends.
var payloads = map[string][]string{
	"project.create":        {`"name":"Alpha"`},
	"project.archive":       {``},
	"ingestion.resolve":     {`"sources":["oci://app"]`},
	"ingestion.fetch":       {`"content_hash":"sha256:1"`},
	"ingestion.validate":    {``},
	"ingestion.index":       {`"index_ref":"idx://1"`},
	"ingestion.fail":        {`"error":"timeout"`},
	"ingestion.restart":     {`"reason":"new sources"`},
	"council.plan":          {`"roles":[{"name":"lead","seats":2}],"electorate":["n1","n2"],"quorum":2`},
	"council.vote":          {vote("n1", "n1")},
	"council.elect":         {``},
	"council.sync":          {tools("n1", "t1"), tools("n2", "t1"), tools("n1", "t2")},
	"council.dissolve":      {`"reason":"split"`},
	"environment.allocate":  {`"provider":"local"`},
	"environment.provision": {`"probes":["p1","p2"]`},
	"environment.report":    {probe("p1", false), probe("p1", true), probe("p2", true)},
	"environment.release":   {`"reason":"done"`},
	"execution.start":       {``},
	"execution.plan":        {`"items":["i1","i2"]`},
	"execution.work":        {work("i1"), work("i2")},
	"execution.review":      {review("i1"), review("i2")},
	"execution.submit":      {`"artifact":"oci://out"`},
	"execution.next":        {``},
	"execution.stop":        {``},
}

func vote(voter, candidate string) string {
	return fmt.Sprintf(`"role":"lead","voter":%q,"candidate":%q`, voter, candidate)
}
func tools(member, hash string) string {
	return fmt.Sprintf(`"member":%q,"tools_hash":%q`, member, hash)
}
func probe(id string, healthy bool) string {
	return fmt.Sprintf(`"probe":%q,"healthy":%t`, id, healthy)
}
func work(item string) string   { return fmt.Sprintf(`"item":%q,"result":"ref://1"`, item) }
func review(item string) string { return fmt.Sprintf(`"item":%q,"approve":true,"reviewer":"n1"`, item) }

// step is a command and the members of its payload, besides project.
type step struct{ command, members string }

// usual is a command with the first of its payloads.
func usual(commands ...string) []step {
	var steps []step
	for _, c := range commands {
		steps = append(steps, step{c, payloads[c][0]})
	}
	return steps
}

// path joins steps into a new slice.
func path(parts ...[]step) []step { return slices.Concat(parts...) }

// one is a path of one step.
func one(command, members string) []step { return []step{{command, members}} }

// Valid paths into phases.
var (
	create    = usual("project.create")
	ingestion = usual("ingestion.resolve", "ingestion.fetch", "ingestion.validate", "ingestion.index")
	planned   = usual("council.plan")
	voted     = path(planned, one("council.vote", vote("n1", "n1")), one("council.vote", vote("n1", "n2")),
		one("council.vote", vote("n2", "n1")), one("council.vote", vote("n2", "n2")))
	elected     = path(voted, usual("council.elect"))
	council     = path(elected, one("council.sync", tools("n1", "t1")), one("council.sync", tools("n2", "t1")))
	allocated   = usual("environment.allocate")
	provisioned = path(allocated, usual("environment.provision"))
	environment = path(provisioned, one("environment.report", probe("p1", true)), one("environment.report", probe("p2", true)))
	begun       = path(ingestion, council, environment, usual("execution.start"))
	items       = path(begun, usual("execution.plan"))
	worked      = path(items, one("execution.work", work("i1")), one("execution.work", work("i2")))
	reviewed    = path(worked, one("execution.review", review("i1")), one("execution.review", review("i2")))
)

// ways are the valid paths into every phase of a region, after create: several,
// if the phase alone does not determine the region's state.
var ways = map[string]map[string][][]step{
	"project": {
		project.Active:   {nil},
		project.Archived: {usual("project.archive")},
	},
	"ingestion": {
		project.Discover: {nil},
		project.Fetch:    {ingestion[:1]},
		project.Validate: {ingestion[:2]},
		project.Index:    {ingestion[:3]},
		project.Ready:    {ingestion},
	},
	"council": {
		project.PlanRoles:   {nil},
		project.Elect:       {planned, voted},
		project.ToolingSync: {elected, path(elected, one("council.sync", tools("n1", "t1")))},
		project.Ready:       {council},
	},
	"environment": {
		project.Allocate:    {nil},
		project.Provision:   {allocated},
		project.Healthcheck: {provisioned, path(provisioned, one("environment.report", probe("p1", true)))},
		project.Ready:       {environment},
		project.Degraded: {
			path(provisioned, one("environment.report", probe("p1", false))),
			path(environment, one("environment.report", probe("p1", false))),
		},
	},
	"execution": {
		project.Idle:   {nil, path(ingestion, council, environment), path(begun, usual("execution.stop"))},
		project.Plan:   {begun, path(reviewed, usual("execution.next"))},
		project.Work:   {items, path(items, one("execution.work", work("i1")))},
		project.Review: {worked, path(worked, one("execution.review", review("i1")))},
		project.Reverb: {reviewed, path(reviewed, usual("execution.submit"))},
	},
}

// waysInto returns the paths into a cell's situation, including create.
func waysInto(cell swooshtest.ChartCell) [][]step {
	switch cell.Phase {
	case "(none)":
		return [][]step{nil}
	case "(archived)":
		var all [][]step
		for _, phase := range slices.Sorted(maps.Keys(ways[cell.Region])) {
			for _, way := range ways[cell.Region][phase] {
				if cell.Region != "execution" || phase == project.Idle {
					all = append(all, path(create, way, usual("project.archive")))
				}
			}
		}
		return all
	}
	var all [][]step
	for _, way := range ways[cell.Region][cell.Phase] {
		all = append(all, path(create, way))
	}
	return all
}

// walker sends steps to an engine, with a new project for each path.
type walker struct {
	require.TestingT
	engine   *swoosh.Engine
	projects int
}

// walk sends a path for a new project, in one atomic batch.
func (w *walker) walk(way []step) (id string) {
	w.projects++
	id = fmt.Sprintf("p%d", w.projects)
	w.goes(id, way)
	return id
}

func (w *walker) goes(id string, way []step) {
	if len(way) == 0 {
		return
	}
	var batch []swoosh.Request
	for _, s := range way {
		batch = append(batch, request(id, s))
	}
	_, err := w.engine.SubmitBatch(context.Background(), "", batch)
	require.NoError(w, err, "%v", way)
}

func request(id string, s step) swoosh.Request {
	members := strings.TrimSuffix(fmt.Sprintf(`"project":%q,%s`, id, s.members), ",")
	return swoosh.Request{Command: s.command, Payload: jsontext.Value("{" + members + "}")}
}

// outcome sends a command and returns the region's phase after it, or the
// refusal. If the command is refused, nothing may have changed.
func (w *walker) outcome(region, id string, s step) (string, *swoosh.Error) {
	before := w.engine.View()
	_, err := w.engine.Submit(context.Background(), request(id, s))
	if err == nil {
		return phaseOf(w.engine.View(), region, noun.ID(id)), nil
	}
	var e *swoosh.Error
	require.ErrorAs(w, err, &e)
	require.Equal(w, before.StateHash(), w.engine.View().StateHash(), "refused %s of %s changed the state", s.command, id)
	require.Equal(w, before.Index(), w.engine.View().Index())
	if e.Kind == swoosh.InvalidPhase {
		return "-", e
	}
	return e.Kind.Code(), e
}

func phaseOf(v swoosh.View, region string, id noun.ID) string {
	s := project.Domain.Of(v)
	switch region {
	case "project":
		r, _ := s.Projects.Get(id)
		return r.Phase
	case "ingestion":
		r, _ := s.Ingestion.Get(id)
		return r.Phase
	case "council":
		r, _ := s.Council.Get(id)
		return r.Phase
	case "environment":
		r, _ := s.Environment.Get(id)
		return r.Phase
	}
	r, _ := s.Execution.Get(id)
	return r.Phase
}

// TestChartDeclared compares the declarations with the hand-written table.
func TestChartDeclared(t *testing.T) {
	swooshtest.RequireChart(t, swooshtest.ReadChart(t, "testdata/chart.txt"), project.Domain)
}

// TestChartWalked tries every command in every phase, by every path into it.
func TestChartWalked(t *testing.T) {
	chart := swooshtest.ReadChart(t, "testdata/chart.txt")
	for _, cell := range chart {
		t.Run(cell.Command+" from "+cell.Phase, func(t *testing.T) {
			e, _ := open(t)
			w := &walker{TestingT: t, engine: e}
			ended := map[string]bool{}
			for _, way := range waysInto(cell) {
				for _, members := range payloads[cell.Command] {
					outcome, err := w.outcome(cell.Region, w.walk(way), step{cell.Command, members})
					ended[outcome] = true
					w.requireRefusal(chart, cell, err)
				}
			}
			if strings.ToUpper(cell.Want[0]) == cell.Want[0] && cell.Want[0] != "-" {
				delete(ended, "conflict") // Another rule may refuse one way, not all.
			}
			require.ElementsMatch(t, cell.Want, slices.Collect(maps.Keys(ended)))
		})
	}
}

// requireRefusal checks the members of a refusal that programs read.
func (w *walker) requireRefusal(chart []swooshtest.ChartCell, cell swooshtest.ChartCell, err *swoosh.Error) {
	switch {
	case err == nil:
	case err.Kind == swoosh.NotFound:
		require.Equal(w, "/payload/project", err.Errors[0].Pointer)
	case err.Kind == swoosh.InvalidPhase && cell.Phase == "(archived)":
		require.Equal(w, []any{"project", project.Archived, []string{project.Active}}, []any{err.Region, err.Phase, err.AllowedFrom})
	case err.Kind == swoosh.InvalidPhase:
		var allowed []string
		for _, c := range chart {
			if c.Command == cell.Command && c.Want[0] != "-" && !strings.HasPrefix(c.Phase, "(") {
				allowed = append(allowed, c.Phase)
			}
		}
		require.Equal(w, []string{cell.Region, cell.Phase}, []string{err.Region, err.Phase})
		require.ElementsMatch(w, allowed, err.AllowedFrom)
	}
}

// TestBarrierWalked shuts the barrier in every possible way, in every phase of
// execution, and tries every command of execution.
func TestBarrierWalked(t *testing.T) {
	back := map[string][]step{
		"ingestion": usual("ingestion.restart"), "council": usual("council.dissolve"), "environment": usual("environment.release"),
	}
	for _, cell := range swooshtest.ReadChart(t, "testdata/barrier.txt") {
		t.Run(cell.Command+" in "+cell.Phase, func(t *testing.T) {
			e, _ := open(t)
			w := &walker{TestingT: t, engine: e}
			into := ways["execution"][cell.Phase]
			there := into[len(into)-1] // The last way into each phase has the other regions READY.
			for region, again := range back {
				for phase, shut := range ways[region] {
					if phase == project.Ready {
						continue
					}
					id := w.walk(path(create, there, again, shut[0]))
					outcome, err := w.outcome("execution", id, step{cell.Command, payloads[cell.Command][0]})
					require.Equal(t, cell.Want, []string{outcome}, "%s is %s", region, phase)
					if outcome == "conflict" {
						require.Equal(t, []string{region + ": " + phase}, err.BlockedBy)
					}
				}
			}
		})
	}
}
