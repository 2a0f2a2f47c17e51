package swoosh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// vault gives the options for an engine on a directory that saves snapshots
// only when it is asked to.
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

// closeEngine also works at the end of a test, when its context is over.
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

// copySparse copies only what a file's holes leave: Badger's are of many
// megabytes and nearly empty.
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

// memtable gives the file that Badger writes to, and how much of it is used.
func memtable(t testing.TB, dir string) (name string, used int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.mem"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	name = names[len(names)-1]
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	hole, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	require.NoError(t, err)
	b := make([]byte, hole)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return name, int64(len(bytes.TrimRight(b, "\x00")))
}

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

// listing gives every file of a directory with its content, but for the log's
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
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			files[name] = string(b)
		}
		return nil
	}))
	return files
}

// refusal opens a directory that must be refused, and gives the damage.
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

// rewrite changes a stored group through Badger's own API, so that Badger's
// checksums are good. A group that alter leaves empty is deleted.
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

// chainBefore gives the chain of the entry before index.
func chainBefore(t testing.TB, e *swoosh.Engine, index uint64) (chain swoosh.Hash) {
	for r, err := range e.Records(index-1, index-1) {
		require.NoError(t, err)
		chain = r.Chain
	}
	return chain
}

// replaced alters the JSON of a group of one entry, and its chain too if
// before is given.
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

func TestEachReplayedEntryIsChecked(t *testing.T) {
	const last = 40
	dir := filepath.Join(t.TempDir(), "v")
	e := openVault(t, dir)
	fill(t, e, last)
	before25, beforeLast := chainBefore(t, e, 25), chainBefore(t, e, last)
	closeEngine(t, e)
	const amount, other = `"amount":124`, `"amount":924`
	actor := func(before *swoosh.Hash) func([]stored) []stored {
		return replaced(`"key-24"`, `"key-99"`, before)
	}
	for name, tc := range map[string]struct {
		index        uint64
		alter        func([]stored) []stored
		boot, verify uint64
	}{
		"payload":                      {25, replaced(amount, other, nil), 25, 25},
		"payload, own chain":           {25, replaced(amount, other, &before25), 26, 25},
		"key":                          {25, actor(nil), 25, 25},
		"key, own chain":               {25, actor(&before25), 26, 26},
		"index":                        {25, replaced(`"index":25`, `"index":24`, &before25), 25, 25},
		"newest":                       {last, replaced(`"amount":139`, `"amount":939`, nil), last, last},
		"newest, own chain":            {last, replaced(`"key-39"`, `"key-99"`, &beforeLast), last, last},
		"newest payload, own chain":    {last, replaced(`"amount":139`, `"amount":939`, &beforeLast), last, last},
		"chain":                        {25, func(g []stored) []stored { g[0].chain[7]++; return g }, 25, 25},
		"missing":                      {25, func([]stored) []stored { return nil }, 25, 25},
		"an entry of a batch is gone":  {11, func(g []stored) []stored { return slices.Delete(g, 1, 2) }, 12, 12},
		"entries of a batch, reversed": {11, func(g []stored) []stored { slices.Reverse(g); return g }, 11, 11},
	} {
		t.Run("D3/"+name, func(t *testing.T) {
			copied := crashed(t, dir)
			rewrite(t, copied, tc.index, tc.alter)
			files := listing(t, copied)
			for range 2 {
				require.Equal(t, tc.verify, verifyRefusal(t, copied).Index)
				require.Equal(t, tc.boot, refusal(t, copied).Index)
			}
			require.Equal(t, files, listing(t, copied))
		})
	}
}

// resealed gives a snapshot's bytes a checksum that fits.
func resealed(b []byte) []byte {
	at := bytes.Index(b, []byte(`"checksum":"`)) + len(`"checksum":"`)
	copy(b[at:], strings.Repeat("0", 64))
	copy(b[at:], fmt.Sprintf("%x", sha256.Sum256(b)))
	return b
}

// flipped is a directory as a crash left it, for bits to be flipped in.
type flipped struct {
	dir        string
	index      uint64
	hash       swoosh.Hash
	chain      swoosh.Hash
	newest     string // its newest snapshot
	importFile string
}

// crashedVault has a history of 60 entries with snapshots of 20 and 40 and an
// import at entry imported.
func crashedVault(t testing.TB, imported uint64) flipped {
	dir := filepath.Join(t.TempDir(), "v")
	e := openVault(t, dir)
	for _, n := range []uint64{20, 40, 60} {
		if imported <= n && imported > n-20 {
			fill(t, e, imported-1)
			importChanged(t, e)
		}
		fill(t, e, n)
		if n < 60 {
			_, err := e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	v := e.View()
	f := flipped{dir: crashed(t, dir), index: v.Index(), hash: v.StateHash(), chain: v.Chain()}
	closeEngine(t, e)
	f.newest = "snapshots/snapshot-00000000000000000040.json"
	imports, err := filepath.Glob(filepath.Join(f.dir, "imports", "*.json"))
	require.NoError(t, err)
	f.importFile = "imports/" + filepath.Base(imports[0])
	return f
}

// importChanged replaces the state by one that counts another number of
// accounts.
func importChanged(t testing.TB, e *swoosh.Engine) {
	t.Helper()
	var document strings.Builder
	_, err := e.View().WriteTo(&document)
	require.NoError(t, err)
	other := regexp.MustCompile(`"state_hash":"[0-9a-f]*",`).ReplaceAllString(document.String(), "")
	other = regexp.MustCompile(`"entries":[0-9]+`).ReplaceAllString(other, `"entries":77`)
	hash := e.View().StateHash()
	r, err := e.Import(context.Background(), &hash, strings.NewReader(other))
	require.NoError(t, err)
	require.True(t, r.Changed)
}

// boot starts the directory. It tells whether the state is exact; else the
// start was refused in words that help, and the log's files are kept.
func (f flipped) boot(t testing.TB, dir string) (exact bool) {
	t.Helper()
	e, err := swoosh.Open(t.Context(), vault(dir), ledger)
	if err != nil {
		require.Contains(t, err.Error(), "repair "+dir)
		require.DirExists(t, filepath.Join(dir, "unclean"))
		return false
	}
	defer closeEngine(t, e)
	require.Equal(t, f.index, e.View().Index())
	require.Equal(t, f.hash, e.View().StateHash())
	require.Equal(t, f.chain, e.View().Chain())
	return true
}

func TestOneFlippedBitIsNeverSilent(t *testing.T) {
	settled, open := crashedVault(t, 30), crashedVault(t, 50)
	mem, _ := memtable(t, settled.dir)
	mem = "log/" + filepath.Base(mem)
	var survived, refused atomic.Int64
	t.Run("D6", func(t *testing.T) {
		for _, tc := range []struct {
			name   string
			in     flipped
			file   string
			rounds int
		}{
			{"memtable", settled, mem, 16},
			{"newest snapshot", settled, settled.newest, 5},
			{"newest snapshot, import after it", open, open.newest, 3},
			{"keys", settled, "snapshots/keys-00000000000000000040", 4},
			{"mark", settled, "mark", 6},
			{"import", settled, settled.importFile, 2},
			{"import, no snapshot after it", open, open.importFile, 4},
		} {
			for seed := range tc.rounds {
				t.Run(fmt.Sprintf("%s/%d", tc.name, seed), func(t *testing.T) {
					t.Parallel()
					dir := crashed(t, tc.in.dir)
					name := filepath.Join(dir, tc.file)
					info, err := os.Stat(name)
					require.NoError(t, err)
					size := info.Size()
					if tc.file == mem {
						_, size = memtable(t, dir)
					}
					random := rand.New(rand.NewPCG(uint64(seed), uint64(len(tc.name))))
					flip(t, name, random.Int64N(size*8))
					exact := tc.in.boot(t, dir)
					require.Equal(t, exact, tc.in.boot(t, dir), "the second start says otherwise")
					if exact {
						survived.Add(1)
					} else {
						refused.Add(1)
					}
				})
			}
		}
	})
	require.Positive(t, survived.Load(), "no damage was survived")
	require.Positive(t, refused.Load(), "no damage was refused")
}
