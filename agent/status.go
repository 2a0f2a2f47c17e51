package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// State is how a node that runs is, the answer of GET /node. Times that are not known are
// absent.
type State struct {
	Node      string         `json:"node"`
	Hostname  string         `json:"hostname,omitzero"`
	Phase     string         `json:"phase,omitzero"` // as the hub last had it
	Hub       HubState       `json:"hub"`
	Key       KeyState       `json:"key"`
	Heartbeat HeartbeatState `json:"heartbeat"`
	Reasons   []string       `json:"reasons"` // what is not as it should be, with the next step
}

// HubState is how a node is with its hub.
type HubState struct {
	Address string    `json:"address"`
	ID      string    `json:"id"`
	Reached time.Time `json:"reached,omitzero"` // when it last answered
	Since   time.Time `json:"since,omitzero"`   // since when the node may not post, for the first of the reasons; absent: it may
	Index   uint64    `json:"index"`            // of the last entry that the node heard of
}

// KeyState is what a node signs with.
type KeyState struct {
	PublicKey string    `json:"public_key"`
	Expires   time.Time `json:"expires,omitzero"` // absent: it does not
}

// HeartbeatState says when a node last told that it is there, and when it will again.
type HeartbeatState struct {
	Last time.Time `json:"last,omitzero"`
	Next time.Time `json:"next,omitzero"`
}

// reasonKind is what a reason is about.
type reasonKind int

const (
	trouble   reasonKind = iota // why the node may not post
	hostname                    // it has lost its hostname
	expiry                      // its key expires
	following                   // it cannot follow the hub's log
	reasonKinds
)

// say sets the reason of a kind, or clears it, and logs a change.
func (n *Node) say(kind reasonKind, reason string) {
	n.mu.Lock()
	before := n.reasons[kind]
	n.reasons[kind] = reason
	if kind == trouble && (before == "") != (reason == "") {
		n.state.Hub.Since = time.Time{}
		if reason != "" {
			n.state.Hub.Since = n.o.now().UTC()
		}
	}
	n.mu.Unlock()
	switch {
	case before == reason:
	case reason != "":
		n.o.Logger.Warn("the node is not as it should be", "why", reason)
	case kind == trouble:
		n.o.Logger.Info("the node posts to its hub again", "hub", n.hub.Address)
	}
}

func (n *Node) said(kind reasonKind) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reasons[kind]
}

// change changes the state.
func (n *Node) change(change func(*State)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.state)
}

// State returns how the node is.
func (n *Node) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state
	s.Reasons = []string{}
	for _, r := range n.reasons {
		if r != "" {
			s.Reasons = append(s.Reasons, r)
		}
	}
	return s
}

// ErrNotRunning is the error of Status if no node answers.
var ErrNotRunning = errors.New("no node answers")

// Status asks the node that listens on an address of this machine, HOST:PORT or unix:PATH,
// how it is.
func Status(ctx context.Context, address string) (s State, err error) {
	ctx, cancel := context.WithTimeout(ctx, stopMost)
	defer cancel()
	dialer, network, at := net.Dialer{}, "tcp", address
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		network, at = "unix", path
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, network, at) }}
	defer transport.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/node", nil)
	if err != nil {
		return s, err
	}
	answer, err := (&http.Client{Transport: transport}).Do(q)
	if err != nil {
		return s, fmt.Errorf("%w at %s: %w", ErrNotRunning, address, errors.Unwrap(err))
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil || answer.StatusCode != http.StatusOK || s.Node == "" {
		return s, fmt.Errorf("%w at %s: another program does", ErrNotRunning, address)
	}
	return s, nil
}
