// Package testrun is for tests that take long on a disk, or under the race
// detector.
package testrun

import (
	"flag"
	"hash/crc32"
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Main is for TestMain. It puts the directories of tests in memory if there is
// plenty of room. On a disk they take several times as long, because of syncs
// whose effect no test can see. TMPDIR overrides the place. Benchmarks measure the
// disk.
func Main(m *testing.M) {
	const memory, plenty = "/dev/shm", 4 << 30
	flag.Parse()
	free, err := durable.OS().Free(memory)
	if err == nil && free > plenty && os.Getenv("TMPDIR") == "" && flag.Lookup("test.bench").Value.String() == "" {
		_ = os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}

// Race reports whether the race detector is on, under which tests take several
// times as long.
func Race() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// LeaveOut reports whether case n of a test of very many is left out: under the
// race detector four in five are. make test makes all.
func LeaveOut(n int) bool { return Race() && n%5 != 0 }

// Sample skips four in five tests under the race detector: a fifth is chosen by
// their names. make test makes all.
func Sample(t *testing.T) {
	if Race() && crc32.ChecksumIEEE([]byte(t.Name()))%5 != 0 {
		t.Skip("make test makes it, without the race detector")
	}
}

// Stride is by how many steps a test of very many goes on: 1, or under the race
// detector so many. make test makes every step.
func Stride(underRace int) int {
	if Race() {
		return underRace
	}
	return 1
}

// SkipUnderRace skips a test under the race detector: what it repeats, or
// computes in one goroutine, takes long there. make test makes it.
func SkipUnderRace(t *testing.T) {
	if Race() {
		t.Skip("make test makes it, without the race detector")
	}
}
