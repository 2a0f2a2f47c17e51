package swoosh_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
)

// TestProblemsAreShort: whatever comes in, a problem document is short, and shows no
// hidden characters.
func TestProblemsAreShort(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{}, ledger)
	for _, sign := range []string{"a", `"`, `\`, "~1", "é", "\x00", "\u202e", "\U000e0001", "😀", "\n"} {
		line, text := strings.Repeat(sign, 3000/len(sign)), strings.Repeat(sign, 90_001/len(sign))
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		var members []string
		for i := range 50 {
			name, err := json.Marshal(fmt.Sprint(i, text[:len(sign)*100]))
			require.NoError(t, err)
			members = append(members, string(name)+`:1`)
		}
		many := "{" + strings.Join(members, ",") + "}"
		in := url.PathEscape(line)
		gets := []string{
			"/" + in, "/commands/" + in, "/problems/" + in, "/log/" + in, "/outcome/" + in, "/state?" + url.QueryEscape(line) + "=1",
			"/state?path=/" + in, "/state?path=/counter/counters/" + in, "/state?path=" + in,
		}
		for _, parameter := range []string{"at", "min_index", "timeout", "limit"} {
			gets = append(gets, "/state?"+parameter+"="+url.QueryEscape(line))
		}
		for _, parameter := range []string{"from", "after", "commands", "key", "limit"} {
			gets = append(gets, "/log?"+parameter+"="+url.QueryEscape(line), "/watch?"+parameter+"="+url.QueryEscape(line))
		}
		var all []*reply
		for _, path := range gets {
			if !strings.HasPrefix(path, "/watch?limit") {
				all = append(all, s.get(path))
			}
		}
		all = append(all, s.ask("DELETE", "/commands/"+in, ""))
		for _, body := range []string{
			string(quoted), `{` + string(quoted) + `:1}`, `{"command":` + string(quoted) + `}`, many, `{"command":"counter.start","payload":` + many + `}`,
			`{"command":"counter.start","payload":{` + string(quoted) + `:1}}`, `{"command":"counter.start","payload":{"counter":` + string(quoted) + `}}`,
			`{"command":"counter.start","payload":{"counter":{` + string(quoted) + `:1,` + string(quoted) + `:2}}}`,
			`{"command":"ledger.deposit","payload":{"account":"a","amount":1,"note":` + string(quoted) + `}}`,
			`{"command":"counter.start","payload":{"counter":"b"},"expect":{"path":` + string(quoted) + `,"hash":""}}`,
			`[{"command":"counter.start","payload":{` + string(quoted) + `:1}}]`,
			`{"command":"counter.start","payload":{"counter":"b"},"evidence":[` + string(quoted) + `]}`,
		} {
			all = append(all, s.command(body))
		}
		for _, member := range []string{"idempotency_key", "key_since", "hlc", "signer", "signature", "window_id", "inputs_hash", "expect"} {
			all = append(all, s.command(`{"command":"counter.start","payload":{"counter":"b"},"`+member+`":`+string(quoted)+`}`))
		}
		for _, body := range []string{many, `{` + string(quoted) + `:{}}`, `{"meta":{"version":1},"counter":{"counters":{` + string(quoted) + `:{}}}}`, `{"meta":{"version":1},"counter":` + many + `}`} {
			all = append(all, s.ask("POST", "/state", body))
		}
		if strings.IndexFunc(sign, unicode.IsControl) < 0 {
			for _, name := range []string{"Idempotency-Key", "If-Match", "Content-Type", "Content-Encoding"} {
				all = append(all, s.command(startA, name+": "+line))
			}
			all = append(all, s.get("/state", "Origin: "+line), s.get("/state", "Sec-Fetch-Site: "+line), s.get("/watch", "Last-Event-ID: "+line))
		}
		if sign == "a" {
			all = append(all, s.get("/state", "Host: "+line), s.command(startA, "Content-Type: -", "Host: 127.0.0.1:"+line), s.ask(line, "/state", ""))
		}
		for i, r := range all {
			if strings.HasPrefix(r.body, "retry") || r.status == http.StatusOK {
				t.Fatalf("%d was not refused: %s", i, r.body[:min(len(r.body), 100)])
			}
			require.LessOrEqual(t, len(r.body), 8<<10, r.body[:min(len(r.body), 200)])
			require.True(t, json.Valid([]byte(r.body)))
			p := r.object()
			for _, c := range fmt.Sprint(p["detail"], p["errors"], p["path"]) {
				require.True(t, unicode.IsPrint(c), "%q shows %U", r.body, c)
			}
		}
	}
}

// TestProblemsNameNoDirectory lets everything fail that names files, and looks for the
// data directory's path in what callers see.
func TestProblemsNameNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	disk := &ailingDisk{smallDisk: smallDisk{FS: durable.OS()}}
	disk.dir = dir
	disk.free.Store(math.MaxInt64)
	wal := &lostWAL{WAL: swoosh.NewMemWAL(), file: filepath.Join(dir, "log", "000001.vlog")}
	s := starting(t, swoosh.APIOptions{Authenticate: keyring})
	told := func(r *reply, code string, status int) {
		t.Helper()
		r.refused(code, status)
		require.NotContains(t, r.body, dir)
	}
	told(s.get("/state", as("read")), "starting", 503)
	s.attach(swoosh.Options{Dir: dir, FS: disk, OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	s.must(startA, as("write"))
	wal.lost.Store(true)
	told(s.get("/log/1", as("read")), "internal", 500)
	told(s.get("/state?at=0", as("read")), "internal", 500)
	wal.lost.Store(false)
	disk.free.Store(1)
	told(s.command(addA, as("write")), "disk_full", 507)
	require.Contains(t, s.command(addA, as("write")).body, "free in the data directory")
	told(s.ask("POST", "/snapshot", "", as("admin")), "disk_full", 507)
	require.NotContains(t, s.get("/health", as("read")).body, dir)
	require.Contains(t, s.get("/health", as("admin")).body, dir, "an admin may know")
	disk.free.Store(math.MaxInt64)
	disk.ails.Store(true)
	told(s.command(addA, as("write")), "read_only", 503)
	require.Contains(t, s.command(addA, as("write")).body, "statfs log: input/output error")
}

// ailingDisk is a file system that does not say how much is free.
type ailingDisk struct {
	smallDisk
	dir  string
	ails atomic.Bool
}

func (d *ailingDisk) Free(string) (uint64, error) {
	if d.ails.Load() {
		return 0, &fs.PathError{Op: "statfs", Path: filepath.Join(d.dir, "log"), Err: syscall.EIO}
	}
	return d.free.Load(), nil
}

// lostWAL is a log whose file cannot be read.
type lostWAL struct {
	swoosh.WAL
	file string
	lost atomic.Bool
}

func (w *lostWAL) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	if !w.lost.Load() {
		return w.WAL.Read(from, to)
	}
	return func(yield func(swoosh.Record, error) bool) {
		yield(swoosh.Record{}, &fs.PathError{Op: "read", Path: w.file, Err: syscall.EIO})
	}
}
