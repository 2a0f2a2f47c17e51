package program

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/system"
)

// censusEvery is how old the figures of a census may be: it reads the whole fleet.
const censusEvery = 15 * time.Second

// census collects how large the fleet is.
type census struct {
	view func() swoosh.View
	now  func() moment

	mu      sync.Mutex
	taken   time.Duration // as moment.up
	figures []prometheus.Metric
}

var (
	nodesDesc     = prometheus.NewDesc("swoosh_nodes", "Nodes of the fleet, by phase.", []string{"phase"}, nil)
	executorsDesc = prometheus.NewDesc("swoosh_task_executors", "Active nodes that take tasks.", nil, nil)
	networksDesc  = prometheus.NewDesc("swoosh_networks", "Networks that are not deleted.", nil, nil)
	pairsDesc     = prometheus.NewDesc("swoosh_trust_pairs", "Pairs of nodes that trust each other.", nil, nil)
	scopesDesc    = prometheus.NewDesc("swoosh_quarantined_scopes", "Nodes, owners and projects in quarantine.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *census) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nodesDesc, executorsDesc, networksDesc, pairsDesc, scopesDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *census) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if up := c.now().up; c.figures == nil || up-c.taken >= censusEvery {
		c.taken = up
		v := c.view()
		s, _ := fleet.Domain.Find(v)
		p, _ := system.Policy.Find(v)
		c.figures = figuresOf(s, p)
	}
	for _, f := range c.figures {
		to <- f
	}
}

func figuresOf(s fleet.State, p system.PolicyState) (all []prometheus.Metric) {
	add := func(desc *prometheus.Desc, n int, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...))
	}
	phases, executors, networks := map[string]int{}, 0, 0
	for _, n := range s.Nodes.All() {
		phases[n.Phase]++
		if n.TaskExec && n.Phase == fleet.Active {
			executors++
		}
	}
	for _, n := range s.Networks.All() {
		if n.Phase == fleet.NetworkActive {
			networks++
		}
	}
	for _, phase := range []string{fleet.Active, fleet.Reaped, fleet.Deregistered} {
		add(nodesDesc, phases[phase], phase)
	}
	add(executorsDesc, executors)
	add(networksDesc, networks)
	add(pairsDesc, s.Trust.Len())
	add(scopesDesc, p.Scopes.Len())
	return all
}
