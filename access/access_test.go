package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
)

var quiet = slog.New(slog.DiscardHandler)

func write(t testing.TB, name, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// TestTokens: a caller with a token gets its name and role, even after the file
// was replaced. A caller without one gets an error that says what to do.
func TestTokens(t *testing.T) {
	secret, line, err := access.NewToken("ingest", swoosh.RoleWrite)
	require.NoError(t, err)
	require.NotContains(t, line, secret)
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "# callers\n\n"+line+"\nboss admin 0123456789abcdef\nboss admin fedcba9876543210\ncert:node-7 read\nAlice@host.example read 00000000000000000000\n")
	tokens, err := access.OpenTokens(file, nil, quiet)
	require.NoError(t, err)
	for token, want := range map[string]swoosh.Caller{
		secret:                  {Name: "ingest", Role: swoosh.RoleWrite},
		"0123456789abcdef":      {Name: "boss", Role: swoosh.RoleAdmin},
		"fedcba9876543210":      {Name: "boss", Role: swoosh.RoleAdmin},
		strings.Repeat("0", 20): {Name: "Alice@host.example", Role: swoosh.RoleRead},
	} {
		got, err := tokens.Authenticate(bearer(token))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, token := range []string{"", "0123456789abcdee", strings.Fields(line)[2], secret + "x"} {
		_, err := tokens.Authenticate(bearer(token))
		require.ErrorContains(t, err, "not valid on this server")
	}
	twice := bearer(secret)
	twice.Header.Add("Authorization", "Bearer "+secret)
	basic := httptest.NewRequest(http.MethodGet, "/", nil)
	basic.SetBasicAuth("a", "b")
	for _, r := range []*http.Request{twice, basic} {
		_, err := tokens.Authenticate(r)
		require.ErrorContains(t, err, "Bearer <token>")
	}
	_, err = tokens.Authenticate(httptest.NewRequest(http.MethodGet, "/", nil))
	require.ErrorContains(t, err, "send the header")

	write(t, file, "boss admin 0123456789abcdef\n")
	require.NoError(t, tokens.Reload())
	_, err = tokens.Authenticate(bearer(secret))
	require.Error(t, err, "the token was taken away")
}

// TestAddToken: an added token is valid, even after a last line without a
// newline.
func TestAddToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	first, err := access.AddToken(file, "a", swoosh.RoleRead)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	write(t, file, string(b)+"b write 0123456789abcdef")
	second, err := access.AddToken(file, "a", swoosh.RoleRead)
	require.NoError(t, err)
	tokens, err := access.OpenTokens(file, nil, quiet)
	require.NoError(t, err)
	for token, name := range map[string]string{first: "a", second: "a", "0123456789abcdef": "b"} {
		c, err := tokens.Authenticate(bearer(token))
		require.NoError(t, err)
		require.Equal(t, name, c.Name)
	}
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(before), first)
	_, err = access.AddToken(file, "a", swoosh.RoleWrite)
	require.ErrorContains(t, err, file+", line 4: a has a different role")
	_, err = access.AddToken(file, "a b", swoosh.RoleRead)
	require.ErrorContains(t, err, "a caller's name must have 1 to 64 characters")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// TestTokenFileIsReadAgain automatically, also when a symbolic link is
// switched.
func TestTokenFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "one"), "a read 0000000000000000\n")
	write(t, filepath.Join(dir, "two"), "b read 1111111111111111\n")
	link := filepath.Join(dir, "tokens")
	require.NoError(t, os.Symlink("one", link))
	tokens, err := access.OpenTokens(link, nil, quiet)
	require.NoError(t, err)
	require.NoError(t, os.Symlink("two", link+".new"))
	require.NoError(t, os.Rename(link+".new", link))
	require.Eventually(t, func() bool {
		c, err := tokens.Authenticate(bearer("1111111111111111"))
		return err == nil && c.Name == "b"
	}, time.Minute, 50*time.Millisecond)
}

// TestTokenFilesThatAreRefused: the error has file, line and reason, but no
// token.
func TestTokenFilesThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	for text, want := range map[string]string{
		"":                                  "has no line",
		"# nothing\n":                       "has no line",
		"\na\n":                             "line 2: it has 1 words",
		"node-7 read\n":                     "line 1: it has 2 words: write <name> <role> <token>, <name> <role> sha256:<hex>, or cert:<name> <role>",
		"cert:a read 0123456789abcdef\n":    "line 1: it has 3 words: write cert:<name> <role>",
		"cert:a read\ncert:a admin\n":       "line 2: cert:a has a different role",
		"cert:cert:a read\n":                "not begin with # or cert:",
		"a read b c\n":                      "line 1: it has 4 words",
		"ä read 0123456789abcdef\n":         `line 1: a caller's name must have 1 to 64 characters from ! to ~`,
		strings.Repeat("a", 65) + " read x": "line 1: a caller's name",
		"a reader 0123456789abcdef\n":       "line 1: the role",
		"a read secretsecret\n":             "line 1: its token has 12 characters",
		"a read sha256:secretsecrets\n":     "64 lower-case hex digits",
		"a read sha256:" + strings.Repeat("ab", 31) + "\n":                      "64 lower-case hex digits",
		"a read sha256:" + strings.Repeat("ab", 32) + "a\n":                     "64 lower-case hex digits",
		"a read sha256:" + strings.Repeat("AB", 32) + "\n":                      "64 lower-case hex digits",
		"a read 0123456789abcdef\na write fedcba9876543210\n":                   "line 2: a has a different role",
		"a read 0123456789abcdef\nb read 0123456789abcdef\n":                    "line 2: its token is already in an earlier line",
		"a read 0123456789abcdef\n" + strings.Repeat("x", 70_000) + " read a\n": "line 2: a caller's name",
	} {
		_, err := access.OpenTokens(write(t, file, text), nil, quiet)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, file)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := access.OpenTokens(file+"-that-is-missing", nil, quiet)
	require.ErrorContains(t, err, "cannot be read")
	write(t, file, "a read 0123456789abcdef\n")
	require.NoError(t, os.Chmod(file, 0o644))
	_, err = access.OpenTokens(file, nil, quiet)
	require.ErrorContains(t, err, "chmod 600")
	write(t, file, "a read sha256:"+strings.Repeat("ab", 32)+"\n")
	_, err = access.OpenTokens(file, nil, quiet)
	require.NoError(t, err, "hashes may be seen")
	for _, mode := range []os.FileMode{0o620, 0o602} {
		require.NoError(t, os.Chmod(file, mode))
		_, err = access.OpenTokens(file, nil, quiet)
		require.ErrorContains(t, err, file+" can be written by other users")
	}
}

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.pem, _ = a.sign("authority", time.Now().Add(time.Hour))
	return a
}

// under returns an authority certified by this one.
func (a *authority) under() *authority {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c := *a.cert
	c.SerialNumber, c.Subject.CommonName = big.NewInt(2), "under"
	der, err := x509.CreateCertificate(rand.Reader, &c, a.cert, &k.PublicKey, a.key)
	require.NoError(a.t, err)
	return &authority{t: a.t, cert: &c, key: k, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// sign returns a certificate and its key, in PEM.
func (a *authority) sign(name string, until time.Time) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if a.key == nil {
		a.key, c = k, a.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	require.NoError(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(a.t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// TestCertificates: new connections get the new certificate; if the new pair is
// broken, the old one stays. A client's name is its certificate's.
func TestCertificates(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	later := time.Now().Add(time.Hour)
	cert, key := ca.sign("first", later)
	files := [3]string{filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")}
	for i, text := range []string{cert, key, ca.pem} {
		write(t, files[i], text)
	}
	certificates, err := access.OpenCertificates(files[0], files[1], files[2], quiet)
	require.NoError(t, err)
	tokens, err := access.OpenTokens(write(t, filepath.Join(dir, "tokens"), "cert:node-7 read\n"), certificates, quiet)
	require.NoError(t, err)

	api := swoosh.NewAPI(swoosh.APIOptions{Logger: quiet})
	s := api.Server()
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := tokens.Authenticate(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(c.Name + " " + c.Role.String()))
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = s.Serve(api.TLSListener(ln, certificates.Config())) }()
	defer s.Close()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(ca.pem)))
	get := func(two bool, client ...string) (server, body string, err error) {
		config := &tls.Config{RootCAs: roots}
		if client != nil {
			pair, err := tls.X509KeyPair([]byte(client[0]), []byte(client[1]))
			require.NoError(t, err)
			config.Certificates = []tls.Certificate{pair}
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: two, DisableKeepAlives: true}}
		r, err := c.Get("https://" + ln.Addr().String())
		if err != nil {
			return "", "", err
		}
		defer r.Body.Close()
		require.Equal(t, two, r.ProtoMajor == 2)
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.TLS.PeerCertificates[0].Subject.CommonName, string(b), nil
	}
	ask := func(client ...string) (server, body string, err error) {
		server, body, err = get(true, client...)
		if err == nil {
			_, one, err := get(false, client...)
			require.NoError(t, err)
			require.Equal(t, body, one, "HTTP/1.1 shows the certificate too")
		}
		return server, body, err
	}
	cert7, key7 := ca.sign("node-7", later)
	server, body, err := ask(cert7, key7)
	require.NoError(t, err)
	require.Equal(t, []string{"first", "node-7 read"}, []string{server, body})
	cert8, key8 := ca.sign("node-8", later)
	_, body, err = ask(cert8, key8)
	require.NoError(t, err)
	require.Contains(t, body, `"node-8" has no role on this server`)
	require.Contains(t, body, "cert:<name> <role>")
	_, body, err = ask()
	require.NoError(t, err)
	require.Contains(t, body, "send the header")
	other := newAuthority(t)
	foreign, foreignKey := other.sign("node-7", later)
	_, _, err = ask(foreign, foreignKey)
	require.Error(t, err, "another authority's certificate")

	cert, key = ca.sign("second", later)
	write(t, files[0], cert)
	require.Error(t, certificates.Reload(), "the key is the first one's")
	server, _, err = ask()
	require.NoError(t, err)
	require.Equal(t, "first", server)
	write(t, files[1], key)
	require.Eventually(t, func() bool {
		server, _, err := ask()
		return err == nil && server == "second"
	}, time.Minute, 50*time.Millisecond, "the files are looked at again")
	write(t, files[2], ca.pem+other.pem)
	require.Eventually(t, func() bool {
		_, body, err := ask(foreign, foreignKey)
		return err == nil && body == "node-7 read"
	}, time.Minute, 50*time.Millisecond, "the authorities too")
}

// TestCertificateOnALongConnection: a certificate that was valid when the
// connection began is refused once it has expired or its issuer is no longer
// trusted.
func TestCertificateOnALongConnection(t *testing.T) {
	ca, other, dir := newAuthority(t), newAuthority(t), t.TempDir()
	cert, key := ca.sign("server", time.Now().Add(time.Hour))
	authorities := write(t, filepath.Join(dir, "ca"), ca.pem+other.pem)
	certificates, err := access.OpenCertificates(write(t, filepath.Join(dir, "cert"), cert), write(t, filepath.Join(dir, "key"), key), authorities, quiet)
	require.NoError(t, err)
	tokens, err := access.OpenTokens(write(t, filepath.Join(dir, "tokens"), "cert:node-7 read\n"), certificates, quiet)
	require.NoError(t, err)
	end := time.Now().Add(time.Minute)
	ask := func(by *authority, between ...*authority) error {
		chain, _ := by.sign("node-7", end)
		for _, b := range between {
			chain += b.pem
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.TLS = &tls.ConnectionState{}
		for block, rest := pem.Decode([]byte(chain)); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			require.NoError(t, err)
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c)
		}
		caller, err := tokens.Authenticate(r)
		require.Equal(t, err == nil, caller.Name == "node-7")
		return err
	}
	require.NoError(t, ask(ca))
	require.NoError(t, ask(other))
	under := other.under()
	require.NoError(t, ask(under, under))
	write(t, authorities, ca.pem)
	require.NoError(t, certificates.Reload())
	require.NoError(t, ask(ca))
	require.Error(t, ask(under, under))
	require.ErrorContains(t, ask(other), `the certificate of "node-7" is no longer valid: x509: certificate signed by unknown authority`)
	tokens.SetNow(end.Add(time.Second))
	require.ErrorContains(t, ask(ca), "certificate has expired")

	certificates, err = access.OpenCertificates(filepath.Join(dir, "cert"), filepath.Join(dir, "key"), "", quiet)
	require.NoError(t, err)
	tokens, err = access.OpenTokens(filepath.Join(dir, "tokens"), certificates, quiet)
	require.NoError(t, err)
	require.ErrorContains(t, ask(ca), "accepts no client certificates", "whatever the machine trusts")
	tokens, err = access.OpenTokens(filepath.Join(dir, "tokens"), nil, quiet)
	require.NoError(t, err)
	require.ErrorContains(t, ask(ca), "send the header Authorization")
}

func TestCertificatesThatAreRefused(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.sign("a", time.Now().Add(time.Hour))
	old, oldKey := ca.sign("a", time.Now().Add(-time.Hour))
	for _, test := range []struct{ cert, key, ca, want string }{
		{cert, oldKey, "", "private key does not match"},
		{old, oldKey, "", "get a new one"},
		{"no PEM", key, "", "failed to find any PEM data"},
		{cert, "", "", "failed to find any PEM data"},
		{cert, key, "no PEM", "has no certificate in PEM"},
	} {
		files := [3]string{write(t, filepath.Join(dir, "cert"), test.cert), write(t, filepath.Join(dir, "key"), test.key)}
		if test.ca != "" {
			files[2] = write(t, filepath.Join(dir, "ca"), test.ca)
		}
		_, err := access.OpenCertificates(files[0], files[1], files[2], quiet)
		require.ErrorContains(t, err, test.want)
	}
	_, err := access.OpenCertificates(filepath.Join(dir, "missing"), filepath.Join(dir, "key"), "", quiet)
	require.ErrorContains(t, err, "missing")
}
