package main

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what the program was built from.
type build struct {
	Version string `json:"version"` // the commit's tag, or Go's pseudo-version since the last one; "(devel)" where there was no repository
	Commit  string `json:"commit"`  // "unknown" where there was no repository; "+changes" behind it if files were changed
	Go      string `json:"go"`      // the Go release
}

func (b build) String() string {
	return fmt.Sprintf("swoosh %s, commit %s, %s", b.Version, b.Commit, b.Go)
}

func buildInfo() build {
	b := build{"(devel)", "unknown", "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version, b.Go = cmp.Or(info.Main.Version, b.Version), info.GoVersion
	changes := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	b.Commit += changes
	return b
}

func newVersion(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version [--json]", Short: "Say which version this is",
		Args: takes(),
	}
	out := newOutput(cmd, s.out)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := buildInfo()
		if out.json {
			return out.printJSON(b)
		}
		_, err := fmt.Fprintln(s.out, b)
		return err
	}
	return cmd
}
