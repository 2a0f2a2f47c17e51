package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/store"
)

// Options configures an engine. The zero value is an engine in memory.
type Options struct {
	Dir  string // the data directory, made if missing; one engine at a time; empty: memory
	Node string // the node's id: 1 to 63 of a-z, 0-9 and dash; empty: made once and kept in Dir

	SkewMax       time.Duration // how far ahead of the wall clock a caller's stamp may be; 0: 500 ms
	MaxRecovery   time.Duration // a snapshot is due when replaying the entries after the last one would take longer; 0: 1 s
	MaxStateBytes int64         // a command that makes the state larger is refused, as is a larger import; 0: 256 MiB
	DiskReserve   int64         // commands are refused below so many free bytes of the disk; 0: what the next steps need, at most 256 MiB
	ForceReplay   bool          // start from the base, ignoring newer snapshots

	// RetainEntries and RetainAge let the log shrink: an entry goes when neither
	// retains it, its key is not in the key window, and a snapshot after it is the
	// log's new base. Zeros: every entry is kept.
	RetainEntries uint64        // the newest so many entries are retained
	RetainAge     time.Duration // entries are whose stamp is at most so much older than the newest entry's

	Guards   []Guard               // called in this order
	Rules    func() []Guard        // returns the guards after these, asked for once for each submission; nil: none
	Logger   *slog.Logger          // nil: slog.Default
	Metrics  prometheus.Registerer // the engine's metrics are registered here until Close; nil: they are not
	Traces   trace.TracerProvider  // each submission becomes a span; nil: nothing is traced
	Progress func(Progress)        // called with a boot's progress, a few times a second; nil: not called

	// Published is called with every state that is published, before its
	// commands are answered. The writer waits for it. Nil: not called.
	Published func(View)

	// Verified is called for each command that was accepted with a signature, on its caller's
	// goroutine: not for one that somebody sends once more. Nil: not called.
	Verified func(View, Signed)

	// Differs is called once if history differs: these domains make another state of
	// an entry than the program that wrote it. why names the entry and the next step.
	// ctx ends when the engine closes. An error makes the engine read-only, with this
	// reason; so does nil.
	Differs func(ctx context.Context, why string) error

	// ReducerVersion is the version of the domains' rules. Change it if a command
	// may now be refused that was accepted: verify then does not ask about older
	// entries. Whether the log still gives the same state, each other build proves
	// by itself.
	ReducerVersion string

	Program string // the program's name, for messages ("run: doors repair DIR") and snapshots; empty: swoosh
	Version string // its version, for messages and snapshots
	Commit  string // what it was built from; empty if that does not tell it from other builds

	// A build with Version and Commit proves the history of a directory once: a
	// snapshot records that, and the next start of the same build believes it.

	Now       func() int64                  // the wall clock, Unix ms; nil: the machine's
	OpenWAL   func(dir string) (WAL, error) // nil: OpenBadgerWAL in Dir, NewMemWAL without one
	Snapshots SnapshotStore                 // nil: files in Dir, in memory without one
	FS        durable.FS                    // for journal, snapshots and imports; nil: the machine's

	// Assert checks after each command that it ended in a phase that it
	// declares. A command that did not fails with Internal. For tests.
	Assert bool
}

// run returns "run: " and a command of the program, for messages. Empty words are
// left out: an engine in memory has no directory.
func (o *Options) run(words ...string) string {
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	return "run: " + strings.Join(append([]string{o.ProgramName()}, words...), " ")
}

// guards returns those of one submission.
func (o *Options) guards() []Guard {
	if o.Rules == nil {
		return o.Guards
	}
	return slices.Concat(o.Guards, o.Rules())
}

// retains reports whether entries may go.
func (o *Options) retains() bool { return o.RetainEntries > 0 || o.RetainAge > 0 }

// isBuild reports whether a program has this program's name and version.
func (o *Options) isBuild(by fingerprint) bool {
	return by.Program == o.Program && cmp.Or(by.Version, by.Commit) == cmp.Or(o.Version, o.Commit)
}

// nameOf returns the name of a program, for messages; empty if by names none.
func (o *Options) nameOf(by fingerprint) string {
	name := strings.TrimSpace(by.Program + " " + cmp.Or(by.Version, by.Commit))
	if by.Program != "" && o.isBuild(by) {
		name = "another build of " + name
	}
	return name
}

// ProgramName returns the name of the program that a user runs.
func (o *Options) ProgramName() string { return cmp.Or(o.Program, "swoosh") }

// Complete returns the options with defaults filled in. The error names the one
// that is wrong.
func (o Options) Complete() (Options, error) {
	o.SkewMax = cmp.Or(o.SkewMax, 500*time.Millisecond)
	o.MaxRecovery = cmp.Or(o.MaxRecovery, time.Second)
	o.MaxStateBytes = cmp.Or(o.MaxStateBytes, 256<<20)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.SkewMax < 0 || o.MaxRecovery < 0 || o.MaxStateBytes < 0 || o.DiskReserve < 0 || o.RetainAge < 0 {
		return o, errors.New("swoosh: SkewMax, MaxRecovery, MaxStateBytes, DiskReserve and RetainAge cannot be negative")
	}
	if o.Node != "" {
		if err := CheckNodeID(o.Node); err != nil {
			return o, fmt.Errorf("swoosh: node id: %w", err)
		}
	}
	for _, g := range o.Guards {
		if CheckNodeID(g.Name()) != nil {
			return o, fmt.Errorf("swoosh: a guard's name is 1 to 63 characters of a-z, 0-9 and dash, not %q", g.Name())
		}
	}
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixMilli() }
	}
	if o.FS == nil {
		o.FS = durable.OS()
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Differs == nil {
		o.Differs = func(context.Context, string) error { return errors.ErrUnsupported }
	}
	if o.Published == nil {
		o.Published = func(View) {}
	}
	if o.Verified == nil {
		o.Verified = func(View, Signed) {}
	}
	if o.OpenWAL == nil {
		o.OpenWAL = func(dir string) (WAL, error) { return openBadgerWAL(dir, o.FS, o.Logger) }
		if o.Dir == "" {
			o.OpenWAL = func(string) (WAL, error) { return NewMemWAL(), nil }
		}
	}
	if o.Snapshots == nil {
		o.Snapshots = store.NewFiles(o.Dir, o.FS)
		if o.Dir == "" {
			o.Snapshots = NewInMemorySnapshotStore()
		}
	}
	return o, nil
}

// Progress is how far a boot has come: through a snapshot at first, then through
// the entries after it.
type Progress struct {
	Read    int64  // bytes of the snapshot that is being loaded, with Bytes
	Bytes   int64  // of it; 0: none is being loaded
	Applied uint64 // entries replayed
	Target  uint64 // entries to replay
	Index   uint64 // of the last entry replayed
	HLC     Stamp  // its stamp
}

// tellEvery is how often progress is reported.
const tellEvery = 200 * time.Millisecond

// fingerprint says which program made a snapshot. In a snapshot it is also a
// stamp: a commit says that this very build makes the whole history before the
// snapshot as the log says. Until that is proved the snapshot has none.
type fingerprint struct {
	Commands Hash   `json:"commands"` // of the commands' names, moves and schemas, in the order of the parts
	Domains  Hash   `json:"domains"`  // of the types of the domains' states
	Format   uint32 `json:"format"`   // of states and entries
	Reducer  string `json:"reducer"`  // Options.ReducerVersion

	Program string `json:"program,omitzero"`
	Version string `json:"version"`
	Commit  string `json:"commit"` // empty also: not proved

	Data string `json:"data,omitzero"` // the versions of the domains' data; see dataVersions
}

// fingerprintOf returns the fingerprint of domains and their program.
func fingerprintOf(defs []*definition, o *Options) fingerprint {
	var lines bytes.Buffer
	for _, d := range defs {
		fmt.Fprintf(&lines, "%s %d %d\n", d.name, len(d.gates), len(d.reactions))
		for _, c := range d.commands {
			fmt.Fprintf(&lines, "%s %q %q %v %v %s\n", c.Name, c.From, c.To, c.Stay, c.moves, slices.Concat(c.Schema, c.Result))
		}
	}
	return fingerprint{
		Commands: sha256.Sum256(lines.Bytes()), Domains: schemaHash(defs), Format: stateFormat,
		Reducer: o.ReducerVersion, Program: o.Program, Version: o.Version, Commit: o.Commit,
		Data: dataVersions(defs),
	}
}

// sameReducer compares what the domains declare: by that alone, two programs have
// the same rules.
func (f fingerprint) sameReducer(g fingerprint) bool {
	return f.Commands == g.Commands && f.Domains == g.Domains && f.Data == g.Data && f.Format == g.Format && f.Reducer == g.Reducer
}

// is reports whether two programs are the same build. One without version or commit
// cannot be told apart from others, and is the same as none.
func (f fingerprint) is(g fingerprint) bool { return f == g && f.isBuild() }

func (f fingerprint) isBuild() bool { return f.Version != "" && f.Commit != "" }

// unproved returns the fingerprint without its stamp.
func (f fingerprint) unproved() fingerprint {
	f.Commit = ""
	return f
}

func (f fingerprint) encode() []byte { return canon.Of[fingerprint]().Append(nil, &f, canon.Full) }

const stateFormat = 1 // of states and entries; see fingerprint
