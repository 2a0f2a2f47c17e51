package swoosh_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
)

// TestFlippedFormatIsDamage, not the work of a newer program: the checksum
// tells.
func TestFlippedFormatIsDamage(t *testing.T) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.must(opening("a"))
	r.snapshot()
	r.must(paying("a", 1))
	r.snapshot()
	end := r.View()
	r.stop()
	newest := r.snapshots()[1]
	b, err := os.ReadFile(newest)
	require.NoError(t, err)
	flipped := bytes.Replace(b, []byte(`"format":2`), []byte(`"format":3`), 1)
	require.NotEqual(t, b, flipped)
	require.NoError(t, os.WriteFile(newest, flipped, 0o600))
	r.boot()
	require.Equal(t, end.StateHash(), r.View().StateHash(), "D6")
	require.Len(t, r.Health().SetAside, 1)
}

// TestSnapshotsNameTheirLog by the chain of entry 1, zero while there is none.
func TestSnapshotsNameTheirLog(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	hub := func() string {
		info, err := r.Engine.Snapshot(t.Context())
		require.NoError(t, err)
		m := regexp.MustCompile(`"format":2,"hub":"([0-9a-f]{64})","last_applied_hlc"`).FindSubmatch(readStored(t, r.o.Snapshots, swoosh.SnapshotName(info.Index)))
		require.NotNil(t, m)
		return string(m[1])
	}
	require.Equal(t, swoosh.Hash{}.String(), hub())
	r.must(opening("a"))
	first := r.View().Chain().String()
	require.Equal(t, first, hub())
	r.must(paying("a", 1))
	require.Equal(t, first, hub())
	importChanged(t, r.Engine)
	require.Equal(t, first, hub())
	r.restart()
	r.must(paying("a", 1))
	require.Equal(t, first, hub(), "from the snapshot")
	r.o.ForceReplay = true
	r.restart()
	r.must(paying("a", 1))
	require.Equal(t, first, hub(), "from the log")
}

// refusingDisk refuses to read the files of a folder.
type refusingDisk struct {
	durable.FS
	folder string
	why    error
}

type refusingFile struct {
	durable.File
	why error
}

func (d refusingDisk) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err == nil && filepath.Base(filepath.Dir(name)) == d.folder {
		f = refusingFile{f, d.why}
	}
	return f, err
}

func (f refusingFile) Read([]byte) (int, error) { return 0, f.why }

// TestWhatTheMachineRefusesIsNoDamage: a file that cannot be read now stays where it
// is, the start fails with the machine's reason, and the next one is sound.
func TestWhatTheMachineRefusesIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	e := openVault(t, dir)
	fill(t, e, 10)
	importChanged(t, e)
	closeEngine(t, e)
	for _, folder := range []string{"snapshots", "imports"} {
		o := vault(dir)
		o.FS, o.ForceReplay = refusingDisk{durable.OS(), folder, syscall.ESTALE}, folder == "imports"
		_, err := swoosh.Open(t.Context(), o, ledger)
		require.ErrorIs(t, err, syscall.ESTALE, folder)
		var d *swoosh.DamageError
		require.False(t, errors.As(err, &d), folder)
		require.NoDirExists(t, filepath.Join(dir, "aside"))
	}
	closeEngine(t, openVault(t, dir))
	requireVerified(t, dir)
}
