package client_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// TestItLinksNothingOfTheServer checks that the package imports only the
// standard library and one module for JSON.
func TestItLinksNothingOfTheServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	for path := range strings.FieldsSeq(string(out)) {
		if path != "github.com/chorus-services/swoosh/client" {
			require.True(t, strings.HasPrefix(path, "github.com/go-json-experiment/json"), path)
		}
	}
}

// TestCodes compares the constants and the next steps with those of the server.
func TestCodes(t *testing.T) {
	s := newSite(t, "")
	answer, err := http.Get("http://" + s.addr + "/problems")
	require.NoError(t, err)
	defer answer.Body.Close()
	var all struct {
		Problems []struct{ Code, Next string }
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&all))
	http.DefaultClient.CloseIdleConnections()
	require.Greater(t, len(all.Problems), 30)
	steps := client.NextSteps()
	for _, p := range all.Problems {
		require.Equal(t, p.Next, steps[p.Code], p.Code)
		delete(steps, p.Code)
	}
	require.Len(t, steps, 4, "those of the client's own")
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8420", "ftp://x", "http://", "http://x/path", "http://x?q", "http://me@x", "unix:", "http://a b"} {
		_, err := client.New(address, client.Options{})
		require.ErrorContains(t, err, "unix:PATH", address)
	}
	_, err := client.New("http://x", client.Options{Token: "secret\n"})
	require.ErrorContains(t, err, "trim it")
	require.NotContains(t, err.Error(), "secret")
	_, err = client.New("http://x", client.Options{Transport: http.DefaultTransport, TLS: new(tls.Config)})
	require.ErrorContains(t, err, "Transport")
	_, err = client.New("http://x", client.Options{Retry: client.Retry{Attempts: -1}})
	require.ErrorContains(t, err, "Retry")
	c, err := client.New("http://x/", client.Options{})
	require.NoError(t, err)
	c.Close()
}

func TestUnixSocket(t *testing.T) {
	s := newSite(t, "")
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	go func() { _ = s.http.Serve(ln) }()
	_, err = newClient(t, "unix:"+path, client.Options{}).Do(within(t), add("a", 1))
	require.NoError(t, err)
	_, err = newClient(t, "unix:"+path+"none", client.Options{Retry: client.Retry{Attempts: 1}}).Version(within(t))
	require.True(t, client.IsCode(err, client.Unreachable), err)
}

// TestTokenAndTLS sends requests over TLS, HTTP/2 too, with a token.
func TestTokenAndTLS(t *testing.T) {
	s := newSite(t, "")
	api := swoosh.NewAPI(swoosh.APIOptions{Loopback: true, Logger: silent, Authenticate: func(r *http.Request) (swoosh.Caller, error) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			return swoosh.Caller{}, errors.New("the token is not known")
		}
		return swoosh.Caller{Name: "ann", Role: swoosh.RoleWrite}, nil
	}})
	api.Attach(s.e)
	for _, h2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(api)
		server.EnableHTTP2 = h2
		server.Config.ErrorLog = slog.NewLogLogger(silent.Handler(), slog.LevelDebug)
		server.StartTLS()
		defer server.Close()
		trusts := server.Client().Transport.(*http.Transport).TLSClientConfig
		c := newClient(t, server.URL, client.Options{Token: "secret", TLS: trusts.Clone()})
		lines := 0
		for a, err := range c.Stream(within(t), adds(300)) {
			require.NoError(t, err)
			lines = a.Line
		}
		require.Equal(t, 300, lines)
		for e, err := range c.Watch(within(t), 1) {
			require.NoError(t, err)
			require.Equal(t, "ann", e.Actor)
			if e.Index == 300 {
				break
			}
		}
		_, err := newClient(t, server.URL, client.Options{TLS: trusts.Clone()}).Do(within(t), add("a", 1))
		require.True(t, client.IsCode(err, client.Unauthorized), err)
		require.ErrorContains(t, err, "the token is not known")
		_, err = newClient(t, server.URL, client.Options{Token: "secret"}).Do(within(t), add("a", 1))
		require.True(t, client.IsCode(err, client.Unreachable), err)
		require.ErrorContains(t, err, "authority")
		_, err = c.Snapshot(within(t))
		require.True(t, client.IsCode(err, client.Forbidden), err)
		c.Close()
	}
	api.Stop()
}

func TestTheServersAccountOfItself(t *testing.T) {
	s := newSite(t, "")
	c, ctx := s.client(), within(t)
	result, err := c.Do(ctx, client.Command{
		Name: "tally.add", Payload: Add{"a", 1}, Key: "k1", After: "000000000001-0000-n1",
		Signer: "node-7", Signature: "YWJj", WindowID: "w-1", InputsHash: strings.Repeat("a", 64), Evidence: []string{"ucxl://x"},
	})
	require.NoError(t, err)
	again, err := c.Do(ctx, client.Command{
		Name: "tally.add", Payload: []byte(`{ "amount": 1, "tally": "a" }`), Key: "k1",
		Signer: "node-7", WindowID: "w-1", InputsHash: strings.Repeat("a", 64), Evidence: []string{"ucxl://x"},
	})
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, result.Index, again.Index)
	for e, err := range c.Log(ctx, 1) {
		require.NoError(t, err)
		require.Equal(t, "node-7 YWJj w-1 ucxl://x", strings.Join([]string{e.Signer, e.Signature, e.WindowID, e.Evidence[0]}, " "))
		require.Equal(t, "000000000001-0000-n1", e.After)
	}

	saved, err := c.Snapshot(ctx)
	require.NoError(t, err)
	require.Equal(t, result.StateHash, saved.StateHash)
	require.Positive(t, saved.Bytes)
	h, err := c.Health(ctx)
	require.NoError(t, err)
	require.Equal(t, "ready", h.Mode)
	require.Equal(t, saved.Index, h.Snapshot.Index)
	ready, err := c.Ready(ctx)
	require.NoError(t, err)
	require.Equal(t, client.Readiness{Ready: true}, ready)
	v, err := c.Version(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, v.Go)
	all, err := c.Commands(ctx)
	require.NoError(t, err)
	one, err := c.CommandInfo(ctx, "tally.add")
	require.NoError(t, err)
	require.Contains(t, all, one)
	require.Contains(t, string(one.Schema), "amount")
	_, err = c.CommandInfo(ctx, "tally.ad")
	require.True(t, client.IsCode(err, client.NotFound), err)
	require.ErrorContains(t, err, "tally.add")

	_, err = c.Batch(ctx, []client.Command{add("a", 1), add("a", 13)})
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 1, *e.Position)
	_, err = c.Batch(ctx, nil)
	require.True(t, client.IsCode(err, client.MalformedRequest), err)
	_, err = c.Do(ctx, client.Command{Name: "tally.add", Payload: Add{}})
	require.ErrorAs(t, err, &e)
	require.Equal(t, "/payload/tally", e.Errors[0].Pointer)
}

func TestReadyWhileItStarts(t *testing.T) {
	api := swoosh.NewAPI(swoosh.APIOptions{Logger: silent})
	api.Progress(swoosh.Progress{Applied: 3, Target: 9})
	server := httptest.NewServer(api)
	defer server.Close()
	r, err := newClient(t, server.URL, client.Options{}).Ready(within(t))
	require.NoError(t, err)
	require.Equal(t, client.Readiness{Reason: "starting", Applied: 3, Target: 9}, r)
}
