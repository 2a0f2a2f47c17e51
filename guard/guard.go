// Package guard reads rules that judge commands before the writer takes them: an
// expression in CEL, or a web service that is asked. docs/GUARDS.md describes the file.
package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/reload"
)

// Rules are those of a file, as it was when it was last good. They are safe for
// concurrent use.
type Rules struct {
	file     *reload.Files[[]swoosh.Guard]
	now      atomic.Pointer[[]swoosh.Guard]
	client   *http.Client
	failures *prometheus.CounterVec
	log      *slog.Logger

	mu      sync.Mutex
	failing map[string]bool // rules whose last question failed
}

// Open reads the rules of a file, for the commands of domains. The error names the
// file, the rule, and the place in it.
func Open(file string, parts []swoosh.Part, log *slog.Logger) (*Rules, error) {
	r := &Rules{client: newClient(), log: log, failing: map[string]bool{}}
	r.failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "swoosh_guard_failures_total", Help: "Questions that a rule could not decide, since its web service or its expression failed.",
	}, []string{"rule"})
	commands := swoosh.Describe(parts...)
	var err error
	r.file, err = reload.New(&reload.Files[[]swoosh.Guard]{
		Names: []string{file}, Meanwhile: "the old rules stay in force", Log: log,
		Read: func(old []swoosh.Guard) ([]swoosh.Guard, error) {
			rules, err := r.read(file, commands)
			if err != nil {
				return old, err
			}
			r.now.Store(&rules)
			return rules, nil
		},
		Differ: differ,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Rules) read(file string, commands []swoosh.CommandInfo) ([]swoosh.Guard, error) {
	doc, info, err := reload.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: name a JSON file of rules", err)
	}
	if err := reload.CheckFile(file, info, false); err != nil {
		return nil, err
	}
	rules, err := parse(doc, commands)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	guards := make([]swoosh.Guard, len(rules))
	for i, rule := range rules {
		rule.rules = r
		guards[i] = rule
	}
	return guards, nil
}

// differ returns the names of the rules that came and went. One that was altered did
// both.
func differ(old, now []swoosh.Guard) (added, removed []string) {
	missing := func(from, in []swoosh.Guard) (names []string) {
		texts := map[string]bool{}
		for _, g := range in {
			texts[g.(*rule).text] = true
		}
		for _, g := range from {
			if !texts[g.(*rule).text] {
				names = append(names, g.Name())
			}
		}
		return names
	}
	return missing(now, old), missing(old, now)
}

// Guards returns the rules as they are now, for swoosh.Options.Rules.
func (r *Rules) Guards() []swoosh.Guard { return *r.now.Load() }

// Reload reads the file now. With an error the old rules stay in force.
func (r *Rules) Reload() error { return r.file.Reload() }

// Look reads the file if it has changed. Call it every now and then.
func (r *Rules) Look() { r.file.Look() }

// Failing returns why the file could not be reloaded; nil if it could.
func (r *Rules) Failing() error { return r.file.Failing() }

// Collector counts the questions that rules could not decide.
func (r *Rules) Collector() prometheus.Collector { return r.failures }

// Close closes the connections to web services that are not in use.
func (r *Rules) Close() { r.client.CloseIdleConnections() }

// tell counts a failure of a web service, and logs when it begins, and when it ends.
func (r *Rules) tell(rule string, failure error) {
	if failure != nil {
		r.failures.WithLabelValues(rule).Inc()
	}
	r.mu.Lock()
	before := r.failing[rule]
	r.failing[rule] = failure != nil
	r.mu.Unlock()
	var u unreachable
	if errors.As(failure, &u) {
		failure = u.why
	}
	switch {
	case failure != nil && !before:
		r.log.Warn("a guard fails", "rule", rule, "why", failure)
	case failure == nil && before:
		r.log.Info("a guard decides again", "rule", rule)
	}
}
