package swoosh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
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

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
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

// importChanged replaces the state by one with another number of accounts.
func importChanged(t testing.TB, e *swoosh.Engine) {
	t.Helper()
	other := regexp.MustCompile(`"state_hash":"[0-9a-f]*",`).ReplaceAllString(document(t, e.View()), "")
	other = regexp.MustCompile(`"entries":[0-9]+`).ReplaceAllString(other, `"entries":77`)
	hash := e.View().StateHash()
	r, err := e.Import(context.Background(), &hash, strings.NewReader(other))
	require.NoError(t, err)
	require.True(t, r.Changed)
}

// crashed copies the directory of an engine that is still running, as a kill
// would leave it.
func crashed(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join(to, strings.TrimPrefix(path, dir))
		if d.IsDir() {
			return os.MkdirAll(name, 0o700)
		}
		return copySparse(path, name)
	}))
	return to
}

// copySparse copies only a file's data, not its holes: Badger's files have many
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
// own, the lock, and the copy that a start after a crash makes.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if d.IsDir() {
			if slices.Contains([]string{"log", "unclean"}, name) {
				return fs.SkipDir
			}
			files[name] = "directory"
			return nil
		}
		if name != "lock" {
			info, err := d.Info()
			require.NoError(t, err)
			files[name] = fmt.Sprint(info.Size(), " bytes: ", string(unpadded(t, path)))
		}
		return nil
	}))
	return files
}

// unpadded returns a file without the zeros at its end. Badger's files are of many
// megabytes and nearly empty.
func unpadded(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	end := int64(0)
	for {
		data, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		require.NoError(t, err)
		end, err = f.Seek(data, unix.SEEK_HOLE)
		require.NoError(t, err)
	}
	b := make([]byte, end)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return bytes.TrimRight(b, "\x00")
}

// memtable returns the file that Badger writes to, and how much of it is used.
func memtable(t testing.TB, dir string) (name string, used int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.mem"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	name = names[len(names)-1]
	return name, int64(len(unpadded(t, name)))
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

// place finds where in the memtable file an entry's JSON ends.
func place(t testing.TB, dir string, index uint64) (name string, begin, end int64) {
	t.Helper()
	name, _ = memtable(t, dir)
	b := unpadded(t, name)
	at := bytes.Index(b, fmt.Appendf(nil, `"index":%d,`, index))
	require.Positive(t, at)
	begin = int64(max(bytes.LastIndex(b[:at], []byte(`{"changed":`)), bytes.LastIndex(b[:at], []byte(`{"batch":`))))
	return name, begin, int64(at + bytes.Index(b[at:], []byte(`"}`)) + 2)
}

// hitContent flips a bit in the JSON of an entry in the memtable file.
func hitContent(t testing.TB, dir string, index uint64) {
	t.Helper()
	name, begin, _ := place(t, dir, index)
	flip(t, name, (begin+int64(len(`{"changed":true,"comm`)))*8)
}

// hitFraming flips a bit that belongs to Badger: in the key of the group that
// begins with an entry.
func hitFraming(t testing.TB, dir string, index uint64) {
	t.Helper()
	name, begin, _ := place(t, dir, index)
	const record = 2 + 1 + 32 // length, format, chain
	flip(t, name, (begin-record-1)*8+1)
}

// stored is a record in the form of the log.
type stored struct {
	chain swoosh.Hash
	json  string
}

func cut(t testing.TB, value []byte) (all []stored) {
	for len(value) > 0 {
		n, k := binary.Uvarint(value)
		require.Positive(t, k)
		body := value[k : k+int(n)]
		all = append(all, stored{swoosh.Hash(body[1:33]), string(body[33:])})
		value = value[k+int(n):]
	}
	return all
}

func joinStored(all []stored) (value []byte) {
	for _, s := range all {
		value = binary.AppendUvarint(value, uint64(33+len(s.json)))
		value = append(append(append(value, 1), s.chain[:]...), s.json...)
	}
	return value
}

// rewrite changes a stored group through Badger's API, so that Badger's
// checksums are right. A group that becomes empty is deleted.
func rewrite(t testing.TB, dir string, index uint64, alter func(group []stored) []stored) {
	t.Helper()
	db, err := badger.OpenManaged(badger.DefaultOptions(filepath.Join(dir, "log")).WithMemTableSize(32 << 20).WithValueLogFileSize(16 << 20).WithLogger(nil))
	require.NoError(t, err)
	txn := db.NewTransactionAt(^uint64(0), true)
	item, err := txn.Get(binary.BigEndian.AppendUint64(nil, index))
	require.NoError(t, err, "entry %d must begin a group", index)
	value, err := item.ValueCopy(nil)
	require.NoError(t, err)
	if group := alter(cut(t, value)); len(group) > 0 {
		require.NoError(t, txn.Set(item.KeyCopy(nil), joinStored(group)))
	} else {
		require.NoError(t, txn.Delete(item.KeyCopy(nil)))
	}
	require.NoError(t, txn.CommitAt(item.Version(), nil))
	txn.Discard()
	require.NoError(t, db.Close())
}

// chainBefore returns the chain of the entry before index.
func chainBefore(t testing.TB, e *swoosh.Engine, index uint64) (chain swoosh.Hash) {
	for r, err := range e.Records(index-1, index-1) {
		require.NoError(t, err)
		chain = r.Chain
	}
	return chain
}

// replaced changes the JSON of a group of one entry, and its chain if before is
// given.
func replaced(old, with string, before *swoosh.Hash) func([]stored) []stored {
	return func(group []stored) []stored {
		was := group[0].json
		group[0].json = strings.Replace(was, old, with, 1)
		if was == group[0].json {
			panic("nothing was altered in " + was)
		}
		if before != nil {
			group[0].chain = sha256.Sum256(append(before[:len(before):len(before)], group[0].json...))
		}
		return group
	}
}
