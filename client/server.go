package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Snapshot describes a saved snapshot.
type Snapshot struct {
	Index     uint64 `json:"index"` // of the last entry in it
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"`
	Bytes     int64  `json:"bytes"`
}

// Snapshot makes the server save a snapshot, and returns once it is durable.
func (c *Client) Snapshot(ctx context.Context) (s Snapshot, err error) {
	err = c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodPost, path: "/snapshot"}, &s)
	})
	return s, err
}

// Receipt returns the server's signed word on where its log stands, as JSON. Keep it as it
// is; swoosh.ParseReceipt reads and checks it.
func (c *Client) Receipt(ctx context.Context) (doc json.RawMessage, err error) {
	err = c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodGet, path: "/receipt"}, &doc)
	})
	return doc, err
}

// Health is the condition of the server.
type Health struct {
	Mode      string   `json:"mode"`    // "ready", or a value of Readiness.Reason
	Reasons   []string `json:"reasons"` // why the mode is not "ready", in sentences
	Index     uint64   `json:"index"`
	HLC       string   `json:"hlc"`
	StateHash string   `json:"state_hash,omitzero"` // empty while the server starts
	Chain     string   `json:"chain,omitzero"`      // of the last entry; likewise
	Hub       string   `json:"hub,omitzero"`        // the log's identity: the chain of entry 1; likewise
	Node      string   `json:"node"`
	Key       string   `json:"receipt_key,omitzero"` // that receipts are signed with, hex; empty while the server starts
	Snapshot  struct { // the newest good snapshot; index 0: none
		Index uint64 `json:"index"`
		HLC   string `json:"hlc"`
	} `json:"snapshot"`
	SetAside []struct { // damaged files
		File string `json:"file"`
		Why  string `json:"why"`
	} `json:"set_aside"`
	History struct { // the entries before the snapshot that the server began with
		State  string `json:"state"`        // "proving", "proved", "differs" or "damaged"
		Proved uint64 `json:"proved"`       // the entry up to which they were replayed and found equal
		Target uint64 `json:"target"`       // the entry up to which they will be
		At     uint64 `json:"at,omitzero"`  // the first entry that differs or is damaged
		Why    string `json:"why,omitzero"` // what differs or is damaged, and the next step
	} `json:"history"`
	Log struct {
		First   uint64 `json:"first"`            // index of the first entry that is kept; 1 if the log is empty
		Copies  int    `json:"copies"`           // 2, or 1 while one is written anew from the other
		Why     string `json:"why,omitzero"`     // why there is one only
		Checked string `json:"checked,omitzero"` // when both were last found equal (RFC 3339)
	} `json:"log"`
	State struct { // its size in bytes; zeros while the server starts
		Bytes int64 `json:"bytes"`
		Most  int64 `json:"most"` // beyond which a command that makes it larger is refused
	} `json:"state"`
	Disk struct { // in bytes
		Free    uint64 `json:"free"`
		Reserve uint64 `json:"reserve"`
	} `json:"disk"`
	Keys struct { // Since is the hlc at which the key window begins; empty: it has every key
		Since string `json:"since,omitzero"`
	} `json:"keys"`
	Clock struct { // how far the last stamp is ahead of the wall clock
		AheadMS int64 `json:"ahead_ms"`
	} `json:"clock"`
	Timers []struct { // those that are due, but whose command was refused or changed nothing
		Command string `json:"command"`
		Since   string `json:"since"` // RFC 3339
		Error   string `json:"error"`
	} `json:"timers"`
}

// Health returns the condition of the server, even while it starts. It does not
// retry.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/health", quiet: probeMost, probe: true}, &h)
	return h, err
}

// Readiness says whether the server accepts commands.
type Readiness struct {
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason"`  // starting, shutting_down, read_only, disk_full or stalled; empty: ready
	Applied uint64 `json:"applied"` // entries replayed so far, of Target, while the server starts
	Target  uint64 `json:"target"`
}

// Ready returns whether the server accepts commands. If it does not, that is
// not an error. Ready does not retry.
func (c *Client) Ready(ctx context.Context) (r Readiness, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/readyz", quiet: probeMost, probe: true, also: http.StatusServiceUnavailable}, &r)
	return r, err
}

// Version describes the server's program.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Format  int    `json:"format"` // of the state's document
}

// Version returns the version of the server's program. It does not retry.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/version", quiet: probeMost, probe: true}, &v)
	return v, err
}

// CommandInfo describes a command of the server.
type CommandInfo struct {
	Name     string          `json:"name"`
	Summary  string          `json:"summary"`
	Domain   string          `json:"domain"`
	Region   string          `json:"region"`   // the name before the dot
	From     []string        `json:"from"`     // phases
	To       []string        `json:"to"`       // phases
	Schema   json.RawMessage `json:"schema"`   // of the payload, as JSON Schema
	Refusals []string        `json:"refusals"` // codes that its declaration implies
	Role     string          `json:"role"`     // the least role a caller needs: write or admin

	// Timer says when the server posts the command by itself; empty: never.
	Timer string `json:"timer,omitzero"`

	// Signed is "may" or "must" if the command takes a signature; empty: it does not.
	Signed string `json:"signed,omitzero"`

	// Result is the schema of the command's result; nil: it has none.
	Result json.RawMessage `json:"result,omitempty"`
}

// Commands returns the commands of the server.
func (c *Client) Commands(ctx context.Context) ([]CommandInfo, error) {
	var all struct {
		Commands []CommandInfo `json:"commands"`
	}
	err := c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodGet, path: "/commands", quiet: quietMost}, &all)
	})
	return all.Commands, err
}

// CommandInfo returns one command of the server. It fails with NotFound if
// there is no such command.
func (c *Client) CommandInfo(ctx context.Context, name string) (i CommandInfo, err error) {
	err = c.again(ctx, func() error {
		return c.ask(ctx, request{method: http.MethodGet, path: "/commands/" + url.PathEscape(name), quiet: quietMost}, &i)
	})
	return i, err
}
