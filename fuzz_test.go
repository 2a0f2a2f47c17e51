package swoosh

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/noun"
)

// fuzzState is a small domain's, whose snapshots are fuzzed.
type fuzzState struct {
	Count uint32                  `json:"count"`
	Notes []noun.Text             `json:"notes"`
	Rows  Table[noun.ID, fuzzRow] `json:"rows"`
}

type fuzzRow struct {
	Note noun.Text `json:"note"`
	On   bool      `json:"on"`
	At   Stamp     `json:"at"`
}

type fuzzCommand struct{}

func (fuzzCommand) Check(View) error             { return nil }
func (fuzzCommand) Apply(s *fuzzState, at Stamp) { s.Count++ }

var fuzzDomain = NewDomain("fuzz", On[fuzzCommand]("count", "Count."))

// wireFile reads a file of the released format.
func wireFile(f *testing.F, name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata/wire/v1", name))
	require.NoError(f, err)
	return b
}

func FuzzEntry(f *testing.F) {
	for line := range bytes.Lines(wireFile(f, "entries.ndjson")) {
		f.Add(bytes.TrimSpace(line))
		f.Add(unchained(bytes.TrimSpace(line)))
	}
	f.Fuzz(func(t *testing.T, json []byte) {
		x, err := decodeAny(json)
		if err != nil {
			return
		}
		again := x.appendTo(nil)
		y, err := decodeAny(again)
		require.NoError(t, err)
		require.Equal(t, string(again), string(y.appendTo(nil)))
		served := Record{Index: x.Index, JSON: again}.AppendJSON(nil)
		require.Equal(t, string(again), string(unchained(served)))
	})
}

// unchained removes the member chain from an entry as it is served.
func unchained(line []byte) []byte {
	at := bytes.Index(line, []byte(`"chain":"`))
	if at < 0 || len(line) < at+75 {
		return line
	}
	return append(bytes.Clone(line[:at]), line[at+75:]...)
}

func FuzzRecord(f *testing.F) {
	b := wireFile(f, "entries")
	f.Add(b)
	f.Add(b[:700])
	f.Add([]byte{1, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var read []record.Record
		var again []byte
		for r, err := range record.All(b, 1) {
			if err != nil {
				break
			}
			read, again = append(read, r), r.Append(again)
		}
		require.LessOrEqual(t, len(again), len(b))
		n := 0
		for r, err := range record.All(again, 1) {
			require.NoError(t, err)
			require.Equal(t, read[n], r)
			n++
		}
		require.Equal(t, len(read), n)
	})
}

// TestRecordsAreStoredAsTheyWere compares the encoding of a record with the
// released one.
func TestRecordsAreStoredAsTheyWere(t *testing.T) {
	stored, err := os.ReadFile("testdata/wire/v1/entries")
	require.NoError(t, err)
	lines, err := os.ReadFile("testdata/wire/v1/entries.ndjson")
	require.NoError(t, err)
	var again, served []byte
	for r, err := range record.All(stored, 1) {
		require.NoError(t, err)
		again = r.Append(again)
		served = append(Record{r.Index, r.Chain, r.JSON, r.Signed}.AppendJSON(served), '\n')
	}
	require.True(t, bytes.Equal(stored, again))
	require.Equal(t, string(lines), string(served))
}

func FuzzStamp(f *testing.F) {
	for _, s := range []string{"019b76daa800-0000-test", "ffffffffffff-ffff-a", "000000000000-0000-", "019B76daa800-0000-test", "+19b76daa800-0000-x", "019b76daa800-0000-" + strings.Repeat("n", 64)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := ParseStamp(a)
		if err != nil {
			return
		}
		require.Equal(t, a, x.String())
		y, err := ParseStamp(b)
		if err != nil {
			return
		}
		require.Equal(t, strings.Compare(a, b), x.Compare(y), "text order is time order")
	})
}

// FuzzSnapshot adds the right checksum to each input, and the hash of the state
// that was read, so that the code after the checks is reached.
func FuzzSnapshot(f *testing.F) {
	defs := []*definition{fuzzDomain.definition()}
	s := newState(defs, "test")
	us := fingerprintOf(defs, &Options{Version: "1", Commit: "c0ffee"})
	b := snapshotOf(f, s, us)
	f.Add(b)
	f.Add(bytes.Replace(b, []byte(`"fuzz":{}`), []byte(`"fuzz":{"count":3,"rows":{"a":{"at":"019b76daa800-0000-test","note":"n","on":true}}}`), 1))
	f.Add(bytes.Replace(b, []byte(`"format":2`), []byte(`"format":3`), 1))
	f.Add(wireFile(f, "snapshots/snapshot-00000000000000000005.json"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newState(defs, "test")
		head, err := readSnapshot(bytes.NewReader(withChecksum(b)), s, us.is)
		if at := bytes.LastIndex(b, []byte(head.stateHash.String())); err != nil && at > checksumAt+checksumLen {
			copy(b[at:], s.hash.String())
			s = newState(defs, "test")
			head, err = readSnapshot(bytes.NewReader(withChecksum(b)), s, us.is)
		}
		if err != nil {
			return
		}
		again := snapshotOf(t, s, head.madeBy)
		reread, err := readSnapshot(bytes.NewReader(again), newState(defs, "test"), us.is)
		require.NoError(t, err)
		require.Equal(t, head, reread)
	})
}

// withChecksum gives a snapshot the right checksum.
func withChecksum(b []byte) []byte {
	if len(b) >= checksumAt+checksumLen {
		copy(b[checksumAt:], strings.Repeat("0", checksumLen))
		copy(b[checksumAt:], fmt.Sprintf("%x", sha256.Sum256(b)))
	}
	return b
}

// snapshotOf returns the bytes of a state's snapshot.
func snapshotOf(t testing.TB, s *state, by fingerprint) []byte {
	files := NewInMemorySnapshotStore()
	require.NoError(t, files.Save("snapshots/it", func(f SnapshotFile) error {
		_, err := writeSnapshot(f, s, by)
		return err
	}))
	in, _, err := files.Open("snapshots/it")
	require.NoError(t, err)
	b, err := io.ReadAll(in)
	require.NoError(t, err)
	return b
}
