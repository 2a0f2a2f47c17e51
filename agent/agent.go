// Package agent is a node of a fleet: a program that is known to a hub by its key, signs
// what it posts, and goes on when the hub is away.
//
// Join makes a node known, Run is the node. RotateKey, Leave and Status are for a node that
// runs or rests. All of them find it by its directory:
//
//	key       what it signs with (PEM, PKCS #8, mode 0600)
//	key.next  the key of a rotation that is not complete
//	hub.json  its hub and what the hub calls it, without secrets
//	lock      held while it runs
//	data/     of its own engine, if it has one
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// Options describe a node. Dir is required.
type Options struct {
	Dir    string
	Logger *slog.Logger // nil: slog.Default
	About  About        // what the node says of itself when it registers
	Retry  client.Retry // of Join, RotateKey and Leave; Run has its own patience

	// Heartbeat is about how often the node says that it is there, 10 s to 14 min, by up to
	// a fifth more or less each time; 0: 5 min.
	Heartbeat time.Duration

	Listener net.Listener   // on this machine alone, for its own engine and GET /node; nil: none. Run closes it.
	Parts    []swoosh.Part  // the domains of its own engine; none: no engine
	Engine   swoosh.Options // of its own engine; its Dir is data/ in the node's Dir

	Metrics *prometheus.Registry // of the node and its own engine, for one Run; GET /metrics shows it; nil: a new one

	// Work is called with the node once its engine is open, and ends when ctx does. Run ends
	// with its error. Nil: the node says that it is there, and no more.
	Work func(ctx context.Context, n *Node) error

	// For tests.
	now    func() time.Time
	after  func(time.Duration) <-chan time.Time
	random *rand.Rand
}

// About is what a node says of itself. The hub keeps it as it is.
type About struct {
	Addresses    []string `json:"addresses,omitempty"`     // where it can be reached; at most 16
	LANAddresses []string `json:"lan_addresses,omitempty"` // likewise, from its own network
	Version      string   `json:"version,omitzero"`        // of its program
	ExternalID   string   `json:"external_id,omitzero"`    // what others call it
	RelayOnly    bool     `json:"relay_only,omitzero"`     // it can be reached by a relay alone
}

// Bounds of Options.Heartbeat: a node is reaped after half an hour.
const (
	HeartbeatLeast = 10 * time.Second
	HeartbeatMost  = 14 * time.Minute
)

// complete returns the options with defaults filled in.
func (o Options) complete() (Options, error) {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Heartbeat = cmp.Or(o.Heartbeat, 5*time.Minute)
	if o.now == nil {
		o.now = time.Now
	}
	if o.after == nil {
		o.after = time.After
	}
	o.random = cmp.Or(o.random, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	switch {
	case o.Dir == "":
		return o, errors.New("the directory of the node is not given")
	case o.Heartbeat < HeartbeatLeast || o.Heartbeat > HeartbeatMost:
		return o, fmt.Errorf("the heartbeat is %s: choose one from %s to %s", o.Heartbeat, HeartbeatLeast, HeartbeatMost)
	}
	return o, nil
}

// around returns a duration that is longer or shorter than d by up to a fifth, so that nodes
// that began together do not ask together.
func (o *Options) around(d time.Duration) time.Duration {
	return d*4/5 + time.Duration(o.random.Int64N(int64(d)*2/5+1))
}
