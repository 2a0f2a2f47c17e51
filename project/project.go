// Package project is the domain of projects. A project has a lifecycle and four
// regions that move side by side: ingestion, council, environment and
// execution. A command moves only its own region; a barrier stops execution
// until the other three are READY.
//
// Each command has its own file, named after it: council.vote is in
// council_vote.go. Code that the commands of a region share is in the region's
// file, council.go, and code that all regions share is in region.go.
package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Domain is the projects' part of the state.
var Domain = swoosh.NewDomain("project",
	swoosh.On[Create]("create", "Create a project, with every region in its first phase.",
		swoosh.From().To(Active), maySign, swoosh.Refuses(swoosh.Forbidden, swoosh.Conflict)),
	swoosh.On[Archive]("archive", "Close a project for good. It stays readable.",
		swoosh.From(Active).To(Archived), maySign, mayConflict),

	swoosh.On[IngestionResolve]("ingestion.resolve", "Name the sources to fetch.",
		swoosh.From(Discover).To(Fetch), maySign, mayConflict),
	swoosh.On[IngestionFetch]("ingestion.fetch", "Report that the sources are fetched, with the hash of their content.",
		swoosh.From(Fetch).To(Validate), maySign, mayConflict),
	swoosh.On[IngestionValidate]("ingestion.validate", "Report that the content is valid.",
		swoosh.From(Validate).To(Index), maySign, mayConflict),
	swoosh.On[IngestionIndex]("ingestion.index", "Report that the content is indexed, and where.",
		swoosh.From(Index).To(Ready), maySign, mayConflict),
	swoosh.On[IngestionFail]("ingestion.fail", "Report that a step failed. It may be tried again.",
		swoosh.From(Discover, Fetch, Validate, Index).Stay(), maySign, mayConflict),
	swoosh.On[IngestionRestart]("ingestion.restart", "Begin a new epoch: fetch the sources again.",
		swoosh.From(Fetch, Validate, Index, Ready).To(Discover), maySign, mayConflict),

	swoosh.On[CouncilPlan]("council.plan", "Plan the roles, the electorate, and how many votes decide.",
		swoosh.From(PlanRoles).To(Elect), maySign, mayConflict),
	swoosh.On[CouncilVote]("council.vote", "Vote for a candidate.",
		swoosh.From(Elect).To(Elect), maySign, selfSigns, mayConflict),
	swoosh.On[CouncilElect]("council.elect", "Give the seats to the candidates with the most votes.",
		swoosh.From(Elect).To(ToolingSync), maySign, mayConflict),
	swoosh.On[CouncilSync]("council.sync", "Report which tools a member has.",
		swoosh.From(ToolingSync, Ready).To(ToolingSync, Ready), maySign, selfSigns, mayConflict),
	swoosh.On[CouncilDissolve]("council.dissolve", "Dissolve the council and begin a new term.",
		swoosh.From(Elect, ToolingSync, Ready).To(PlanRoles), maySign, mayConflict),

	swoosh.On[EnvironmentAllocate]("environment.allocate", "Choose the provider and the resources.",
		swoosh.From(Allocate).To(Provision), maySign, mayConflict),
	swoosh.On[EnvironmentProvision]("environment.provision", "Report what is installed, and which probes will report.",
		swoosh.From(Provision).To(Healthcheck), maySign, mayConflict),
	swoosh.On[EnvironmentReport]("environment.report", "Report what a probe found.",
		swoosh.From(Healthcheck, Ready, Degraded).To(Degraded, Ready).Stay(), maySign, mayConflict),
	swoosh.On[EnvironmentRelease]("environment.release", "Release the environment and begin a new generation.",
		swoosh.From(Provision, Healthcheck, Ready, Degraded).To(Allocate), maySign, mayConflict),

	swoosh.On[ExecutionStart]("execution.start", "Begin a cycle of an idle project.",
		swoosh.From(Idle).To(Plan), maySign, mayConflict),
	swoosh.On[ExecutionPlan]("execution.plan", "Name the items of this cycle.",
		swoosh.From(Plan).To(Work), maySign, mayConflict),
	swoosh.On[ExecutionWork]("execution.work", "Report the result of an item.",
		swoosh.From(Work).To(Review, Work), maySign, mayConflict),
	swoosh.On[ExecutionReview]("execution.review", "Approve or reject the result of an item.",
		swoosh.From(Review).To(Reverb, Review), maySign, selfSigns, mayConflict),
	swoosh.On[ExecutionSubmit]("execution.submit", "Submit the artifact of this cycle.",
		swoosh.From(Reverb).To(Reverb), maySign, mayConflict),
	swoosh.On[ExecutionNext]("execution.next", "Begin the next cycle.",
		swoosh.From(Reverb).To(Plan), maySign, mayConflict),
	swoosh.On[ExecutionStop]("execution.stop", "Drop this cycle.",
		swoosh.From(Plan, Work, Review, Reverb).To(Idle), maySign, mustBeThere),

	swoosh.After[afterDeregister](),
	swoosh.After[afterReap](),
	swoosh.After[afterLeave](),
	swoosh.After[afterKick](),
	swoosh.After[afterNetworkDelete](),
	swoosh.After[afterQuarantine](),
)

// The kinds that commands refuse with, besides invalid_phase: for those with a
// fence, a barrier or a check of a row, for those without, and for those that a node
// must sign on a network.
var (
	maySign     = swoosh.MaySign
	mayConflict = swoosh.Refuses(swoosh.NotFound, swoosh.Forbidden, swoosh.Conflict)
	mustBeThere = swoosh.Refuses(swoosh.NotFound, swoosh.Forbidden)
	selfSigns   = swoosh.Refuses(swoosh.BadSignature)
)

// State has a table for each region, keyed by project. Votes and items have
// their own tables, so that the cost of a command depends only on what it
// changes. Electors and hosts find a node's projects when it goes.
type State struct {
	Projects    swoosh.Table[noun.ID, Project]     `json:"projects"`
	Ingestion   swoosh.Table[noun.ID, Ingestion]   `json:"ingestion"`
	Council     swoosh.Table[noun.ID, Council]     `json:"council"`
	Environment swoosh.Table[noun.ID, Environment] `json:"environment"`
	Execution   swoosh.Table[noun.ID, Execution]   `json:"execution"`
	Votes       swoosh.Table[VoteKey, Vote]        `json:"votes"`
	Items       swoosh.Table[ItemKey, Item]        `json:"items"`
	Electors    swoosh.Table[NodeKey, Elector]     `json:"electors"` // of the ACTIVE projects on a network
	Hosts       swoosh.Table[NodeKey, Host]        `json:"hosts"`    // nodes that are the provider of one
}

// The phases of region project.
const (
	Active   = "ACTIVE"
	Archived = "ARCHIVED" // final; everything stays readable
)

// Project is a project's lifecycle.
type Project struct {
	Name     noun.Name    `json:"name"`
	Phase    string       `json:"phase"`
	Created  swoosh.Stamp `json:"created"`
	Network  noun.ID      `json:"network"`  // whose nodes decide; empty: ids are free
	Windowed bool         `json:"windowed"` // whether execution.submit must name an open window
}

// projectPhase returns the phase of region project. It fails with NotFound if
// there is no such project.
func projectPhase(v swoosh.View, project noun.ID) (string, error) {
	p, ok := Domain.Of(v).Projects.Get(project)
	if !ok {
		return "", notThere(project)
	}
	return p.Phase, nil
}

func notThere(project noun.ID) error {
	err := swoosh.Errorf(swoosh.NotFound, "there is no project %s: create it with project.create", project)
	err.Errors = []swoosh.FieldError{{Pointer: "/payload/project", Detail: "must be the id of an existing project"}}
	return err
}
