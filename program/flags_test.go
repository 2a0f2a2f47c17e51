package program

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFlagsReachTheServer: what a flag promises holds of the server that runs, and
// not without the flag.
func TestFlagsReachTheServer(t *testing.T) {
	const origin = "https://console.example"
	ask := func(t *testing.T, address, method, path, body string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, address+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", origin)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer, string(text)
	}
	for _, test := range []struct {
		flag, value string
		holds       func(t *testing.T, address string, given bool) bool
	}{
		{"allow-origin", origin, func(t *testing.T, address string, _ bool) bool {
			answer, _ := ask(t, address, http.MethodGet, "/version", "")
			return answer.Header.Get("Access-Control-Allow-Origin") == origin
		}},
		{"allow-host", "swoosh.example", func(t *testing.T, address string, _ bool) bool {
			r, err := http.NewRequest(http.MethodGet, address+"/version", nil)
			require.NoError(t, err)
			r.Host = "swoosh.example"
			answer, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		}},
		{"rate", "1", func(t *testing.T, address string, _ bool) bool {
			for range 20 {
				if _, text := ask(t, address, http.MethodGet, "/state", ""); strings.Contains(text, `"rate_limited"`) {
					return true
				}
			}
			return false
		}},
		{"max-state-bytes", "10", func(t *testing.T, address string, _ bool) bool {
			_, text := ask(t, address, http.MethodPost, "/command", create)
			return strings.Contains(text, `"state_full"`)
		}},
		{"max-clock-skew", "1h", func(t *testing.T, address string, _ bool) bool {
			ahead := fmt.Sprintf("%012x-0000-other", time.Now().Add(30*time.Minute).UnixMilli())
			_, text := ask(t, address, http.MethodPost, "/command", `{"hlc":"`+ahead+`",`+create[1:])
			require.True(t, strings.Contains(text, `"index"`) || strings.Contains(text, `"clock_skew"`), text)
			return strings.Contains(text, `"index"`)
		}},
		{"guards", writeFile(t, filepath.Join(t.TempDir(), "guards.json"), `{"rules":[{"name":"none","on":"*","allow":"false"}]}`), func(t *testing.T, address string, _ bool) bool {
			_, text := ask(t, address, http.MethodPost, "/command", create)
			return strings.Contains(text, `"guard_rejected"`)
		}},
		{"max-recovery", "1ms", func(t *testing.T, address string, given bool) bool {
			var lines strings.Builder
			for i := range 300 {
				fmt.Fprintf(&lines, `{"command":"project.create","payload":{"project":"p%d","name":"P"}}`+"\n", i)
			}
			got := swooshRun(t, lines.String(), "command", "-", "--addr", address)
			require.Equal(t, codeGood, got.code, got.err)
			most := time.Second // What is not to come is not waited for any longer.
			if given {
				most = startWait
			}
			for began := time.Now(); time.Since(began) < most; time.Sleep(10 * time.Millisecond) {
				_, text := ask(t, address, http.MethodGet, "/health", "")
				require.Contains(t, text, `"snapshot":{"index":`)
				if !strings.Contains(text, `"snapshot":{"index":0,`) {
					return true
				}
			}
			return false
		}},
	} {
		t.Run(test.flag, func(t *testing.T) {
			t.Parallel()
			for _, given := range []bool{true, false} {
				var flags []string
				if given {
					flags = append(flags, "--"+test.flag, test.value)
				}
				if test.flag != "allow-origin" { // Else the page would be refused before anything.
					flags = append(flags, "--allow-origin", origin)
				}
				p := launch(t, filepath.Join(t.TempDir(), "data"), flags...)
				require.Equal(t, given, test.holds(t, p.address(t), given), flags)
			}
		})
	}
}

func TestLogLevels(t *testing.T) {
	said := []string{"debug", "info", "warn", "error"}
	for i, level := range said {
		var out strings.Builder
		log, err := (&serveFlags{logLevel: level, logFormat: "text"}).logger(&out)
		require.NoError(t, err)
		log.Debug("debug")
		log.Info("info")
		log.Warn("warn")
		log.Error("error")
		for j, message := range said {
			require.Equal(t, j >= i, strings.Contains(out.String(), "msg="+message), "%s at %s", message, level)
		}
	}
}
