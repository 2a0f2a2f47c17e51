package main

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what the program was built from.
type build struct {
	version string // the commit's tag, or Go's pseudo-version since the last one; "(devel)" where there was no repository
	commit  string // "unknown" where there was no repository; "+changes" behind it if files were changed
	goes    string // the Go release
}

func buildInfo() build {
	b := build{"(devel)", "unknown", "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.version, b.goes = cmp.Or(info.Main.Version, b.version), info.GoVersion
	changes := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	b.commit += changes
	return b
}

func newVersion(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is",
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			b := buildInfo()
			_, err := fmt.Fprintf(s.out, "swoosh %s, commit %s, %s\n", b.version, b.commit, b.goes)
			return err
		},
	}
}
