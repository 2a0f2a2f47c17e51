package program

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// build says what the program was built from.
type build struct {
	Program string `json:"program"` // its name
	Version string `json:"version"` // Info's, or the commit's tag, or Go's pseudo-version since the last tag; "(devel)" without a repository
	Commit  string `json:"commit"`  // Info's, or the repository's, with "+changes" if files were changed; "unknown" without a repository
	Go      string `json:"go"`      // the Go release
}

func (b build) String() string {
	return fmt.Sprintf("%s %s, commit %s, %s", b.Program, b.Version, b.Commit, b.Go)
}

const (
	noCommit    = "unknown"
	withChanges = "+changes"
)

// exact returns the commit if the program was built from exactly that, else "".
func (b build) exact() string {
	if b.Commit == noCommit || strings.HasSuffix(b.Commit, withChanges) {
		return ""
	}
	return b.Commit
}

func buildInfo(i Info) build {
	b := build{Program: i.Name, Version: "(devel)", Commit: noCommit, Go: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version, b.Go = cmp.Or(info.Main.Version, b.Version), info.GoVersion
		b.Commit = cmp.Or(commitOf(info), b.Commit)
	}
	b.Version, b.Commit = cmp.Or(i.Version, b.Version), cmp.Or(i.Commit, b.Commit)
	return b
}

// commitOf returns the commit that Go recorded, empty if there is none.
func commitOf(info *debug.BuildInfo) string {
	commit, changes := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = withChanges
		}
	}
	return commit + changes
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version [--json]", Short: "Print the version",
		Args: takes(),
	}
	out := newOutput(cmd, a.out)
	cmd.RunE = func(*cobra.Command, []string) error {
		if out.json {
			return out.printJSON(a.build)
		}
		_, err := fmt.Fprintln(out, a.build)
		return err
	}
	return cmd
}
