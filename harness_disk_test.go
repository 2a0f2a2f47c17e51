package swoosh_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// vault returns the options for an engine on a directory that saves snapshots
// only on request.
func vault(dir string) swoosh.Options {
	return swoosh.Options{
		Dir: dir, Node: "test", MaxRecovery: time.Hour, Now: swooshtest.NewClock(1767225600000).Now,
		Logger: textLogger(io.Discard),
	}
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func openVault(t testing.TB, dir string) *swoosh.Engine {
	t.Helper()
	e, err := swoosh.Open(t.Context(), vault(dir), ledger)
	require.NoError(t, err)
	return e
}

// closeEngine works even at the end of a test, when its context has ended.
func closeEngine(t testing.TB, e *swoosh.Engine) {
	t.Helper()
	require.NoError(t, e.Close(context.Background()))
}

// put applies a deposit with a key, so that entries differ and the window has
// something in it.
func put(t testing.TB, e *swoosh.Engine, n int) {
	t.Helper()
	_, err := e.Submit(context.Background(), swoosh.Request{
		Command: "ledger.deposit", IdempotencyKey: fmt.Sprintf("key-%d", n),
		Payload: fmt.Appendf(nil, `{"account":"a","amount":%d,"note":"n"}`, 100+n),
	})
	require.NoError(t, err)
}

// fill brings an empty log to n entries, with a batch of three in each twenty.
func fill(t testing.TB, e *swoosh.Engine, n uint64) {
	t.Helper()
	if e.View().Index() == 0 {
		submit(t, e, "ledger.open", openAccount{"a"})
	}
	for e.View().Index() < n {
		if i := e.View().Index(); i%20 != 10 || n-i < 3 {
			put(t, e, int(i))
			continue
		}
		one := swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 1}}
		_, err := e.SubmitBatch(context.Background(), "", []swoosh.Request{one, one, one})
		require.NoError(t, err)
	}
}

// importChanged replaces the state by one with another number of entries.
func importChanged(t testing.TB, e *swoosh.Engine) {
	t.Helper()
	importEntries(t, e, 300)
}

// importEntries replaces the state by one with this number of entries.
func importEntries(t testing.TB, e *swoosh.Engine, n int) {
	t.Helper()
	other := regexp.MustCompile(`"state_hash":"[0-9a-f]*",`).ReplaceAllString(document(t, e.View()), "")
	other = regexp.MustCompile(`"entries":[0-9]+`).ReplaceAllString(other, fmt.Sprintf(`"entries":%d`, n))
	hash := e.View().StateHash()
	r, err := e.Import(context.Background(), &hash, strings.NewReader(other))
	require.NoError(t, err)
	require.True(t, r.Changed)
}

// crashed copies the directory of an engine that is still running, as a kill
// would leave it. Nothing may be submitted meanwhile: then only files that are not
// complete come and go.
func crashed(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			name := filepath.Join(to, strings.TrimPrefix(path, dir))
			if d.IsDir() {
				return os.MkdirAll(name, 0o700)
			}
			err = copySparse(path, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}))
	return to
}

// copySparse copies only a file's data, not its holes: the log's files have many
// megabytes and are nearly empty.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < info.Size(); {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			break // Only a hole is left.
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, hole-data)); err != nil {
			return err
		}
		at = hole
	}
	return out.Truncate(info.Size())
}

// listing returns every file of a directory with its content, but for the log's
// own and the lock.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if d.IsDir() {
			if slices.Contains([]string{"journal", "log", "newest"}, name) {
				return fs.SkipDir
			}
			files[name] = "directory"
			return nil
		}
		if name != "lock" {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			files[name] = string(b)
		}
		return nil
	}))
	return files
}

// flip inverts a bit of a file.
func flip(t testing.TB, name string, bit int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], bit/8)
	require.NoError(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = f.WriteAt(b[:], bit/8)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// refusal opens a directory that must be refused, and returns the damage.
func refusal(t testing.TB, dir string, parts ...swoosh.Part) *swoosh.DamageError {
	t.Helper()
	if parts == nil {
		parts = []swoosh.Part{ledger}
	}
	e, err := swoosh.Open(t.Context(), vault(dir), parts...)
	if err == nil {
		closeEngine(t, e)
	}
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	require.Contains(t, err.Error(), "repair "+dir)
	return d
}

func verifyRefusal(t testing.TB, dir string) *swoosh.DamageError {
	t.Helper()
	_, err := repair.Verify(t.Context(), vault(dir), ledger)
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	return d
}

func requireVerified(t testing.TB, dir string) repair.VerifyReport {
	t.Helper()
	r, err := repair.Verify(t.Context(), vault(dir), ledger)
	require.NoError(t, err)
	return r
}

// lived is the record of a history: a directory as a crash left it, and each of
// its entries.
type lived struct {
	dir     string
	entries []*swoosh.Entry // entry n at n-1
	chains  []swoosh.Hash
	lines   []string // their JSON, chain and all
}

// live makes a history of entries and snapshots, the last of them perhaps an
// import, and crashes.
func live(t testing.TB, last uint64, snapshots ...uint64) lived {
	t.Helper()
	return liveWith(t, 0, last, snapshots...)
}

func liveWith(t testing.TB, imported, last uint64, snapshots ...uint64) lived {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "v")
	e := openVault(t, dir)
	stops := append(slices.Clone(snapshots), last)
	if imported > 0 {
		stops = append(stops, imported-1)
	}
	for _, n := range slices.Compact(slices.Sorted(slices.Values(stops))) {
		fill(t, e, n)
		if slices.Contains(snapshots, n) {
			_, err := e.Snapshot(t.Context())
			require.NoError(t, err)
		}
		if n+1 == imported {
			importChanged(t, e)
		}
	}
	l := lived{dir: crashed(t, dir)}
	l.read(t, e)
	closeEngine(t, e)
	return l
}

func (l *lived) read(t testing.TB, e *swoosh.Engine) {
	for r, err := range e.Records(1, e.View().Index()) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		l.entries, l.chains, l.lines = append(l.entries, x), append(l.chains, r.Chain), append(l.lines, string(r.AppendJSON(nil)))
	}
}

// hash returns the state hash after entry n.
func (l lived) hash(n uint64) swoosh.Hash { return l.entries[n-1].StateHash }

// alter rewrites both copies of a log: they hold then what change returns.
func alter(t testing.TB, dir string, change func([]swoosh.Record) []swoosh.Record) {
	t.Helper()
	testlog.Rewrite(t, dir, func(all []record.Record) (altered []record.Record) {
		var records []swoosh.Record
		for _, r := range all {
			records = append(records, swoosh.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON})
		}
		for _, r := range change(records) {
			altered = append(altered, record.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON})
		}
		return altered
	})
}

// lose removes entries from both copies of a log.
func lose(t testing.TB, dir string, from, to uint64) {
	t.Helper()
	alter(t, dir, func(all []swoosh.Record) []swoosh.Record {
		n := len(all)
		all = slices.DeleteFunc(all, func(r swoosh.Record) bool { return from <= r.Index && r.Index <= to })
		require.Equal(t, n-int(to-from+1), len(all))
		return all
	})
}

// forge changes an entry's JSON in both copies of a log, and its chain if before,
// the chain of the entry before it, is given.
func forge(t testing.TB, dir string, index uint64, old, with string, before *swoosh.Hash) {
	t.Helper()
	alter(t, dir, func(all []swoosh.Record) []swoosh.Record {
		r := recordOf(t, all, index)
		was := string(r.JSON)
		r.JSON = []byte(strings.Replace(was, old, with, 1))
		require.NotEqual(t, was, string(r.JSON), "nothing was altered")
		if before != nil {
			r.Chain = sha256.Sum256(append(before[:len(before):len(before)], r.JSON...))
		}
		return all
	})
}

func recordOf(t testing.TB, all []swoosh.Record, index uint64) *swoosh.Record {
	t.Helper()
	i := slices.IndexFunc(all, func(r swoosh.Record) bool { return r.Index == index })
	require.GreaterOrEqual(t, i, 0)
	return &all[i]
}

// chainBefore returns the chain of the entry before index.
func chainBefore(t testing.TB, e *swoosh.Engine, index uint64) (chain swoosh.Hash) {
	for r, err := range e.Records(index-1, index-1) {
		require.NoError(t, err)
		chain = r.Chain
	}
	return chain
}
