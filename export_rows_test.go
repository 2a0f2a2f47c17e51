package swoosh

import (
	"io"
)

// Rows is a state that a benchmark fills, without a log.
type Rows struct {
	state *state
	defs  []*definition
}

// NewRows returns an empty state of domains.
func NewRows(parts ...Part) *Rows {
	defs, _, err := compile(parts)
	if err != nil {
		panic(err)
	}
	s := newState(defs, "bench")
	s.stamp = Stamp{WallMS: 1, Node: "bench"}
	return &Rows{s, defs}
}

// Apply does what an accepted command of a domain does, without the checks.
func Apply[S any](r *Rows, domain string, command Handler[S], at Stamp) {
	p := r.state.domain(domain)
	p.write(func() { command.Apply(p.state.(*S), at) })
}

// Settle updates the hash, and forgets what could be undone.
func (r *Rows) Settle() { r.state.flush() }

// View returns a published copy.
func (r *Rows) View() View { return viewOf(r.state.fork()) }

// Save writes the snapshot.
func (r *Rows) Save(f SnapshotFile) error {
	_, err := writeSnapshot(f, r.state, fingerprintOf(r.defs, &Options{}))
	return err
}

// Load reads a snapshot into an empty state.
func (r *Rows) Load(in io.Reader) error {
	_, err := readSnapshot(in, r.state, fingerprintOf(r.defs, &Options{}).is)
	return err
}
