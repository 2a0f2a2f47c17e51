package swoosh_test

import (
	"flag"
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/chorus-services/swoosh/internal/durable"
)

// TestMain puts the directories of tests in memory if there is plenty of room.
// On a disk they take several times as long, because of syncs whose effect no
// test can see. TMPDIR overrides the place. Benchmarks measure the disk.
func TestMain(m *testing.M) {
	const memory, plenty = "/dev/shm", 4 << 30
	flag.Parse()
	free, err := durable.OS().Free(memory)
	if err == nil && free > plenty && os.Getenv("TMPDIR") == "" && flag.Lookup("test.bench").Value.String() == "" {
		_ = os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}

// raceDetector reports whether the race detector is on, under which tests take
// several times as long.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// leaveOut reports whether case n of a test of very many is left out: under the
// race detector four in five are. make test makes all.
func leaveOut(n int) bool { return raceDetector() && n%5 != 0 }

// skipUnderRace skips a test under the race detector: what it repeats, or
// computes in one goroutine, takes long there. make test makes it.
func skipUnderRace(t *testing.T) {
	if raceDetector() {
		t.Skip("make test makes it, without the race detector")
	}
}
