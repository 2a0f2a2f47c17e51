package program

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/system"
)

// hasStops reports whether a program has the quarantine and the windows of package
// system.
func (a *app) hasStops() bool {
	return a.hasCommands([]string{quarantineCommand, releaseCommand, "window.open", "window.close"})
}

const releaseCommand = "policy.release"

// scopeOf returns the scope that a word names; n17 is short for node:n17.
func scopeOf(word string) (system.Scope, error) {
	scope := system.Scope(word)
	if fleet.NodeID(word).Validate() == nil {
		scope = system.Scope("node:" + word)
	}
	if err := scope.Validate(); err != nil {
		return "", exitf(codeUsage, "SCOPE %w; n17 is short for node:n17", err)
	}
	return scope, nil
}

// shortOf is the shortest word that names a scope.
func shortOf(scope system.Scope) string { return strings.TrimPrefix(string(scope), "node:") }

// aboutScope is a call about a scope, or about everything with --all.
type aboutScope struct {
	*fleetCall
	all   bool
	scope system.Scope // empty with --all
	args  []string     // after the scope
}

// newScopeCommand returns a command line about a scope. words follow SCOPE.
func newScopeCommand(a *app, name string, words []string, short, long string, run func(*aboutScope) error) (*cobra.Command, *aboutScope) {
	s := new(aboutScope)
	use := strings.Join(append([]string{name, "SCOPE"}, words...), " ")
	cmd, f := newFleetCall(a, use, short, long, nil)
	s.fleetCall = f
	f.run = func(f *fleetCall) error { return run(s) }
	cmd.Flags().BoolVar(&s.all, "all", false, "everything, in place of SCOPE")
	with, without := takes(append([]string{"SCOPE"}, words...)...), takes(words...)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if s.all {
			s.args = args
			return without(cmd, args)
		}
		if err := with(cmd, args); err != nil {
			return err
		}
		s.args = args[1:]
		var err error
		s.scope, err = scopeOf(args[0])
		return err
	}
	return cmd, s
}

func newQuarantine(a *app) *cobra.Command {
	var yes bool
	cmd, s := newScopeCommand(a, "quarantine", []string{"REASON"}, "Stop a node, the nodes of an owner, a project, or everything",
		`Has the server refuse what is about SCOPE until it is released:

  node:n17 or n17   what this node signs
  owner:acme        what the nodes of this owner sign, and new nodes of it
  project:alpha     every command of this project

With --all it refuses everything but the release. Reads are answered as ever, and an
admin, who signs nothing, may still clean up after a node. It needs the role admin.

A council that has the node in it, and an environment on it, move in the same entry:
what moved to another phase is printed.`,
		func(s *aboutScope) error {
			if err := s.askAbout(yes); err != nil {
				return err
			}
			return s.quarantine()
		})
	cmd.Example = "  {program} quarantine n1 \"key leaked\"\n  {program} quarantine owner:acme \"odd builds\""
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask about a scope that is not there")
	cmd.ValidArgsFunction = s.complete(func(word string) []string {
		if project, ok := strings.CutPrefix(word, "project:"); ok {
			return prefixed("project:", s.keys(cmd.Context(), "/project/projects", project))
		}
		if node, ok := strings.CutPrefix(word, "node:"); ok {
			return prefixed("node:", s.keys(cmd.Context(), "/fleet/nodes", node))
		}
		kinds := slices.DeleteFunc([]string{"owner:", "project:"}, func(kind string) bool { return !strings.HasPrefix(kind, word) })
		return append(s.keys(cmd.Context(), "/fleet/nodes", word), kinds...)
	})
	return cmd
}

func newRelease(a *app) *cobra.Command {
	var approver string
	cmd, s := newScopeCommand(a, "release", nil, "End a quarantine",
		`Ends the quarantine of SCOPE, or with --all that of everything: one of a scope that
begins before or after it has its own end. Who approves it stands in the log. It needs the
role admin.`,
		func(s *aboutScope) error {
			c := system.PolicyRelease{Approver: noun.Name(approver), Scope: s.scope}
			return s.send(releaseCommand, c, done("%s released", cmp.Or(string(s.scope), "everything")))
		})
	cmd.Example = "  {program} release n1 --approver ann\n  {program} release owner:acme --approver ann"
	cmd.Flags().StringVar(&approver, "approver", "", "`NAME` of who approves it")
	checked := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := checked(cmd, args); err != nil {
			return err
		}
		if err := noun.Name(approver).Validate(); err != nil {
			return exitf(codeUsage, "--approver %w: say who approves the release", err)
		}
		return nil
	}
	cmd.ValidArgsFunction = s.complete(func(word string) []string { return s.keys(cmd.Context(), "/policy/scopes", word) })
	return cmd
}

// complete completes SCOPE.
func (s *aboutScope) complete(scopes func(word string) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || s.all {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return scopes(word), cobra.ShellCompDirectiveNoFileComp
	}
}

func prefixed(prefix string, words []string) []string {
	for i, word := range words {
		words[i] = prefix + word
	}
	return words
}

// askAbout asks whether a scope is meant that is not there: it is a slip of the pen, or
// it is to be stopped before it comes.
func (s *aboutScope) askAbout(yes bool) error {
	if s.all || yes {
		return nil
	}
	what, there, err := s.isThere()
	if err != nil || there {
		return err
	}
	if s.out.json || !isTerminal(s.app.in) {
		return exitf(codeUsage, "there is no %s, so nothing was stopped, and there is no terminal to ask on: to stop it before it comes, give --yes", what)
	}
	fmt.Fprintf(s.app.err, "There is no %s. Stop it before it comes? [y/N] ", what)
	if !agrees(s.ctx, s.app.in) {
		return exitf(codeFailed, "nothing was stopped")
	}
	return nil
}

// isThere reports whether there is what a scope names: a node, an owner with a node, or a
// project.
func (s *aboutScope) isThere() (what string, there bool, err error) {
	kind, name, _ := strings.Cut(string(s.scope), ":")
	switch kind {
	case "owner":
		what = "node of the owner " + name
		for row, err := range client.Rows[fleet.Node](s.ctx, s.api, "/fleet/nodes") {
			if err != nil {
				return what, false, s.notFound(err)
			}
			if string(row.Value.Owner) == name {
				return what, true, nil
			}
		}
		return what, false, nil
	case "node":
		_, err = getRow[fleet.Node](s.fleetCall, "nodes", name)
	default:
		_, _, err = client.Get[struct{}](s.ctx, s.api, "/project/projects/"+name)
	}
	return kind + " " + name, err == nil, s.notFound(err)
}

// notFound returns nil if something is only not there.
func (s *aboutScope) notFound(err error) error {
	if err == nil || client.IsCode(err, client.NotFound) {
		return nil
	}
	return s.app.failed(err)
}

// quarantine stops the scope, and says what that moved and how to end it.
func (s *aboutScope) quarantine() error {
	c := system.PolicyQuarantine{Reason: noun.Text(s.args[0]), Scope: s.scope}
	result, err := s.api.Do(s.ctx, client.Command{Name: quarantineCommand, Payload: c})
	if err != nil {
		return s.sent(result, err, nil)
	}
	moved, failed := s.moved(result)
	if s.out.json {
		return errors.Join(s.out.printJSON(struct {
			client.Result
			Moved []move `json:"moved"`
		}{result, moved}), failed)
	}
	what, again := cmp.Or(string(s.scope), "everything"), cmp.Or(shortOf(s.scope), "--all")
	err = s.sent(result, nil, func(client.Result) (string, error) {
		text := fmt.Sprintf("%s quarantined, entry %d", what, result.Index)
		for i, m := range moved {
			text += choose(i == 0, ": ", "; ") + m.String()
		}
		return text, nil
	})
	if err == nil {
		_, err = fmt.Fprintf(s.out, "release it with: %s release %s --approver NAME\n", s.app.name(), again)
	}
	return cmp.Or(err, failed)
}

// move is a region of a project that another region's command moved to another phase.
type move struct {
	Region  string `json:"region"`
	Project string `json:"project"`
	Phase   string `json:"phase"`
	Term    uint32 `json:"term,omitzero"` // of a council
}

// String says where the region is.
func (m move) String() string {
	if m.Term != 0 {
		return fmt.Sprintf("council of %s back to %s, term %d", m.Project, m.Phase, m.Term)
	}
	return fmt.Sprintf("%s of %s %s", m.Region, m.Project, m.Phase)
}

// moved returns the councils and environments that entered another phase by the entry of
// a quarantine. A region keeps the stamp at which it entered its phase.
func (s *aboutScope) moved(by client.Result) (all []move, err error) {
	if kind, _, _ := strings.Cut(string(s.scope), ":"); kind != "node" && kind != "owner" {
		return nil, nil
	}
	type row struct {
		Phase   string `json:"phase"`
		Term    uint32 `json:"term"`
		Entered []struct {
			At string `json:"at"`
		} `json:"entered"`
	}
	for _, region := range []string{"council", "environment"} {
		for r, err := range client.Rows[row](s.ctx, s.api, "/project/"+region, client.MinIndex(by.Index)) {
			if err = s.notFound(err); err != nil {
				return all, exitf(codeUnknown, "it is done by entry %d, but what it moved cannot be said: %w", by.Index, err)
			}
			if n := len(r.Value.Entered); n > 0 && r.Value.Entered[n-1].At == by.HLC {
				all = append(all, move{region, r.Key, r.Value.Phase, r.Value.Term})
			}
		}
	}
	return all, nil
}
