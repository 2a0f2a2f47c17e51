package program

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestBarStaysAway: an import that was refused may still be read for a moment.
func TestBarStaysAway(t *testing.T) {
	var w bytes.Buffer
	p := &progress{line: &status{terminal: true, now: time.Now, w: &w}, what: "importing"}
	p.show(1, 2)
	p.clear()
	w.Reset()
	p.show(2, 2)
	require.Empty(t, w.String())
}

// TestReasonStandsAboveTheBar: why a question is asked again does not run into
// the bar.
func TestReasonStandsAboveTheBar(t *testing.T) {
	var w bytes.Buffer
	p := &progress{line: &status{terminal: true, now: time.Now, w: &w}, what: "sending", unit: "commands"}
	c := &connection{app: newApp(stock, parts(), streams{}), log: &w}
	c.under(p)
	p.show(1, -1)
	w.Reset()
	c.notify(&client.Error{Code: client.NoAnswer, Detail: "gone"}, 0)
	require.Equal(t, clearLine+"swoosh: trying again: no_answer: gone\n"+p.line.line, w.String())
}

// TestErrorsCommandNoTerminal: neither does it what a control says, nor does it
// show another order.
func TestErrorsCommandNoTerminal(t *testing.T) {
	require.Equal(t, "a b c d", oneLine(errors.New("a\x1bb\u202ec\u009bd")))
}

// TestCertificateForASocket: who gives a certificate for a socket means TLS.
func TestCertificateForASocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "swoosh-tls-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	cert, key := certificate(t, dir, "server", time.Now().Add(time.Hour))
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
	go func() { _ = server.ServeTLS(ln, "", "") }()
	defer server.Close()
	got := swooshRun(t, "", "health", "--addr", unixPrefix+socket, "--cert-file", cert, "--key-file", key)
	require.Equal(t, codeUnreachable, got.code)
	require.Contains(t, got.err, "has an untrusted certificate")
	got = swooshRun(t, "", "health", "--addr", unixPrefix+socket, "--ca-file", cert)
	require.Contains(t, got.err, "localhost", "the certificate is for another name")
}

// TestRefusedLineForPeople has every reason, and nothing that a terminal obeys.
func TestRefusedLineForPeople(t *testing.T) {
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // The test sees it if anything here fails.
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, `{"code":"conf\u001blict","detail":"d\u009b","happened":"no","line":1,"errors":[{"pointer":"/a","detail":"one"},{"pointer":"/b","detail":"two"}]}`)
	})
	got := swooshRun(t, `{"command":"x.y"}`, "command", "-")
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "of 1 commands 1 were refused")
	require.Contains(t, got.out, `      1         -  conf\u001blict      x.y: d\u009b (/a one; /b two)`)
}

// TestRetryEnds when the flag says so, and an empty variable says nothing.
func TestRetryEnds(t *testing.T) {
	calls := 0
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		refuse(http.StatusServiceUnavailable, "starting", "no")(w, r)
	})
	began := time.Now()
	got := swooshRun(t, "", "snapshot", "--retry", "300ms")
	require.Equal(t, codeFailed, got.code, got.err)
	require.Contains(t, got.err, "swoosh: starting: ")
	require.Less(t, time.Since(began), 10*time.Second)
	require.Greater(t, calls, 1)
	t.Setenv("SWOOSH_RETRY", "")
	t.Setenv("SWOOSH_CA_FILE", "")
	require.Equal(t, codeFailed, swooshRun(t, "", "health").code)
}

// TestCertificateOfTheCaller is shown to the server.
func TestCertificateOfTheCaller(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server", time.Now().Add(time.Hour))
	mine, myKey := certificate(t, dir, "worker", time.Now().Add(time.Hour))
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	shown := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.TLS.PeerCertificates[0].Subject.CommonName
		w.Header().Set("Swoosh-Index", "7")
		fmt.Fprint(w, `{"mode":"ready"}`)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	args := []string{"health", "--addr", server.URL, "--ca-file", cert, "--cert-file", mine}
	got := swooshRun(t, "", append(args, "--key-file", myKey)...)
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, "worker", shown)
	got = swooshRun(t, "", append(args, "--key-file", key)...)
	require.Equal(t, codeUsage, got.code)
	require.Contains(t, got.err, "--cert-file "+mine)
}

// TestRefusalHasItsReasons: those of the guards that said no, and each member that
// is wrong; none twice.
func TestRefusalHasItsReasons(t *testing.T) {
	guards := []client.Verdict{{Guard: "budget", Reason: "spent"}, {Guard: "clock", Allowed: true, Reason: "noon"}, {Guard: "door", Reason: "shut"}}
	fields := []client.FieldError{{Pointer: "/a", Detail: "one"}, {Pointer: "/b", Detail: "two"}}
	for want, e := range map[string]*client.Error{
		"c: shut (budget: spent)":                       {Code: "c", Detail: "shut", Guards: guards},
		"c: /a one; /b two":                             {Code: "c", Detail: "/a one (and 1 more)", Errors: fields},
		"c: it: /a one; /b two, see":                    {Code: "c", Detail: "it: /a one, see", Errors: fields},
		"c: wrong (/a one; /b two)":                     {Code: "c", Detail: "wrong", Errors: fields},
		"c: /a one":                                     {Code: "c", Detail: "/a one", Errors: fields[:1]},
		"not_swoosh: d: --addr or SWOOSH_ADDR names it": {Code: client.NotSwoosh, Detail: "d"},
	} {
		require.EqualError(t, newApp(stock, parts(), streams{}).failed(e), want)
	}
}

// TestTextForPeople: what is cut, escaped, left out, or not known for a time.
func TestTextForPeople(t *testing.T) {
	o := &output{width: 5}
	require.Equal(t, "äbcde", o.fit("äbcde"))
	require.Equal(t, "äbcd…", o.fit("äbcdef"))
	require.Equal(t, `a\u001b\u202eb`, printable("a\x1b\u202eb"))
	require.Equal(t, "2025-06-24T09:47:13.848Z", timeOf("0197a155a438-0003-n1", "2006-01-02T15:04:05.000Z"))
	require.Equal(t, "0197a155a43-0003-n1", timeOf("0197a155a43-0003-n1", "15:04"))
	require.Equal(t, `soon\u001b`, timeOf("soon\x1b", "15:04"))
	var w bytes.Buffer
	require.NoError(t, (&output{w: &w}).print(nil, "one", "1", "none", "", "three", "3"))
	require.Equal(t, "one    1\nthree  3\n", w.String())
}
