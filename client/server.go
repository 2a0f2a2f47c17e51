package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Snapshot is what Client.Snapshot saved.
type Snapshot struct {
	Index     uint64 `json:"index"` // of the last entry in it
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"`
	Bytes     int64  `json:"bytes"`
}

// Snapshot has the server save a snapshot, and returns once it is durable.
func (c *Client) Snapshot(ctx context.Context) (s Snapshot, err error) {
	err = c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodPost, path: "/snapshot"}, &s)
	})
	return s, err
}

// Health is the server's account of itself.
type Health struct {
	Mode      string   `json:"mode"`    // "ready", or as Readiness.Reason
	Reasons   []string `json:"reasons"` // sentences
	Index     uint64   `json:"index"`
	HLC       string   `json:"hlc"`
	StateHash string   `json:"state_hash,omitzero"` // empty while the server starts
	Node      string   `json:"node"`
	Snapshot  struct { // the newest good one; index 0 while there is none
		Index uint64 `json:"index"`
		HLC   string `json:"hlc"`
	} `json:"snapshot"`
	SetAside []struct { // damaged files
		File string `json:"file"`
		Why  string `json:"why"`
	} `json:"set_aside"`
	Disk struct { // in bytes
		Free    uint64 `json:"free"`
		Reserve uint64 `json:"reserve"`
	} `json:"disk"`
	Keys struct { // Since is the hlc at which the key window begins; empty: it holds every key
		Since string `json:"since,omitzero"`
	} `json:"keys"`
	Clock struct { // how far the last stamp is ahead of the wall clock
		AheadMS int64 `json:"ahead_ms"`
	} `json:"clock"`
}

// Health asks once how the server is; also while it starts.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/health", quiet: probeMost, probe: true}, &h)
	return h, err
}

// Readiness tells whether commands are taken.
type Readiness struct {
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`  // starting, shutting_down, read_only, disk_full or stalled; empty: ready
	Applied uint64 `json:"applied"` // with Target: how far a starting server has come, in entries
	Target  uint64 `json:"target"`
}

// Ready asks once whether the server takes commands. That it does not is no
// error.
func (c *Client) Ready(ctx context.Context) (r Readiness, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/readyz", quiet: probeMost, probe: true, also: http.StatusServiceUnavailable}, &r)
	return r, err
}

// Version says what runs there.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Format  int    `json:"format"` // of the state's document
}

// Version asks once what runs there.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/version", quiet: probeMost, probe: true}, &v)
	return v, err
}

// CommandInfo is a command that the server knows.
type CommandInfo struct {
	Name     string          `json:"name"`
	Summary  string          `json:"summary"`
	Domain   string          `json:"domain"`
	Region   string          `json:"region"`   // empty: it has no phases
	From     []string        `json:"from"`     // phases
	To       []string        `json:"to"`       // phases
	Schema   json.RawMessage `json:"schema"`   // of the payload, as JSON Schema
	Refusals []string        `json:"refusals"` // codes that follow from what it does
	Role     string          `json:"role"`     // that the caller needs: write or admin
}

// Commands lists the commands that the server knows.
func (c *Client) Commands(ctx context.Context) ([]CommandInfo, error) {
	var all struct {
		Commands []CommandInfo `json:"commands"`
	}
	err := c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodGet, path: "/commands", quiet: quietMost}, &all)
	})
	return all.Commands, err
}

// CommandInfo gives one command that the server knows; NotFound: it does not.
func (c *Client) CommandInfo(ctx context.Context, name string) (i CommandInfo, err error) {
	err = c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodGet, path: "/commands/" + url.PathEscape(name), quiet: quietMost}, &i)
	})
	return i, err
}
