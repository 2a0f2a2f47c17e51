package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"log/slog"
	"math/big"
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

// TestRevoked: whatever else is wrong with the file, a token that it does not have
// lets nobody in, and one that it has anew does not either until it is mended.
func TestRevoked(t *testing.T) {
	const a, b, fresh = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"
	const lineA, lineB = "a admin " + a + "\n", "b read " + b + "\n"
	for name, test := range map[string]struct {
		change func(file string)
		stays  string
	}{
		"emptied":          {func(file string) { write(t, file, "") }, ""},
		"deleted":          {func(file string) { require.NoError(t, os.Remove(file)) }, ""},
		"only comments":    {func(file string) { write(t, file, "# "+lineA+"# "+lineB) }, ""},
		"a directory":      {func(file string) { require.NoError(t, os.Remove(file)); require.NoError(t, os.Mkdir(file, 0o700)) }, ""},
		"a bad line":       {func(file string) { write(t, file, lineA+"junk\nc read "+fresh+"\n") }, a},
		"a bad first line": {func(file string) { write(t, file, "junk\n"+lineB) }, b},
		"a very long line": {func(file string) { write(t, file, strings.Repeat("x", 70_000)+"\n"+lineB) }, b},
		"its own bad line": {func(file string) { write(t, file, "a admin\n"+lineB) }, b},
		"another's name":   {func(file string) { write(t, file, "c admin "+a+"\njunk\n"+lineB) }, b},
		"open to others": {func(file string) {
			write(t, file, lineB+"c read "+fresh+"\n")
			require.NoError(t, os.Chmod(file, 0o602))
		}, b},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "tokens"), lineA+lineB)
			tokens, err := access.OpenTokens(file, nil, quiet)
			require.NoError(t, err)
			test.change(file)
			require.Error(t, tokens.Reload())
			for _, secret := range []string{a, b, fresh} {
				_, err := tokens.Authenticate(bearer(secret))
				require.Equal(t, secret == test.stays, err == nil, secret)
			}
			_ = os.Remove(file)
			write(t, file, lineA+lineB+"c read "+fresh+"\n")
			require.NoError(t, tokens.Reload())
			for _, secret := range []string{a, b, fresh} {
				_, err := tokens.Authenticate(bearer(secret))
				require.NoError(t, err, "it is mended")
			}
		})
	}
}

// TestWhatAReloadChangesIsTold, without a token; and Failing says what is wrong.
func TestWhatAReloadChangesIsTold(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "tokens"), "a admin aaaaaaaaaaaaaaaa\nb read bbbbbbbbbbbbbbbb\n")
	var log strings.Builder
	tokens, err := access.OpenTokens(file, nil, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	require.NoError(t, tokens.Failing())
	require.Empty(t, log.String())
	write(t, file, "b write bbbbbbbbbbbbbbbb\nb write cccccccccccccccc\ncert:d read\n")
	require.NoError(t, tokens.Reload())
	require.Contains(t, log.String(), `level=INFO msg=reloaded files=`+file+` added="b write, b write, cert:d read" removed="a admin, b read"`)
	log.Reset()
	write(t, file, "b write bbbbbbbbbbbbbbbb\njunk\n")
	require.Error(t, tokens.Reload())
	require.Contains(t, log.String(), "level=ERROR")
	require.Contains(t, log.String(), `added="" removed="b write, cert:d read"`)
	require.ErrorContains(t, tokens.Failing(), "tokens, line 2: it has 1 words")
	write(t, file, "b write bbbbbbbbbbbbbbbb\n")
	require.NoError(t, tokens.Reload())
	require.NoError(t, tokens.Failing())
	require.NotContains(t, log.String(), "bbbbbbbb")
}

// TestRevokedAuthorities: an authority that its file does not have is not trusted,
// even if the file has none, is gone, or the server's own pair is broken.
func TestRevokedAuthorities(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.sign("server", time.Now().Add(time.Hour))
	files := [3]string{filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")}
	for name, change := range map[string]func(){
		"emptied":       func() { write(t, files[2], "") },
		"deleted":       func() { require.NoError(t, os.Remove(files[2])) },
		"a broken pair": func() { write(t, files[2], newAuthority(t).pem); write(t, files[1], "") },
	} {
		t.Run(name, func(t *testing.T) {
			for i, text := range []string{cert, key, ca.pem} {
				write(t, files[i], text)
			}
			certificates, err := access.OpenCertificates(files[0], files[1], files[2], quiet)
			require.NoError(t, err)
			tokens, err := access.OpenTokens(write(t, filepath.Join(dir, "tokens"), "cert:node-7 read\n"), certificates, quiet)
			require.NoError(t, err)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{ca.certify(pkix.Name{CommonName: "node-7"})}}
			_, err = tokens.Authenticate(r)
			require.NoError(t, err)
			change()
			require.Error(t, certificates.Reload())
			_, err = tokens.Authenticate(r)
			require.ErrorContains(t, err, "signed by unknown authority")
		})
	}
}

// TestNamesOfCertificates: a certificate takes no role of a name with a token, and
// must have one name.
func TestNamesOfCertificates(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.sign("server", time.Now().Add(time.Hour))
	certificates, err := access.OpenCertificates(write(t, filepath.Join(dir, "cert"), cert), write(t, filepath.Join(dir, "key"), key), write(t, filepath.Join(dir, "ca"), ca.pem), quiet)
	require.NoError(t, err)
	tokens, err := access.OpenTokens(write(t, filepath.Join(dir, "tokens"), "boss admin 0123456789abcdef\ncert:node-7 read\nnode-8 admin fedcba9876543210\ncert:node-8 write\n"), certificates, quiet)
	require.NoError(t, err)
	second := []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "node-7"}}
	for _, test := range []struct {
		subject pkix.Name
		role    swoosh.Role
		refused string
	}{
		{pkix.Name{CommonName: "node-7"}, swoosh.RoleRead, ""},
		{pkix.Name{CommonName: "node-8"}, swoosh.RoleWrite, ""},
		{pkix.Name{CommonName: "boss"}, swoosh.NoRole, `"boss" has no role`},
		{pkix.Name{CommonName: "cert:node-7"}, swoosh.NoRole, "has no role"},
		{pkix.Name{CommonName: "other", ExtraNames: second}, swoosh.NoRole, "has 2 common names"},
		{pkix.Name{CommonName: "node-7", ExtraNames: second}, swoosh.NoRole, "has 2 common names"},
		{pkix.Name{Organization: []string{"node-7"}}, swoosh.NoRole, "has 0 common names"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{ca.certify(test.subject)}}
		c, err := tokens.Authenticate(r)
		require.Equal(t, test.role, c.Role, test.subject)
		if test.refused == "" {
			require.NoError(t, err)
			require.Equal(t, test.subject.CommonName, c.Name)
		} else {
			require.ErrorContains(t, err, test.refused)
		}
	}
}

// certify returns a certificate of an hour for a subject.
func (a *authority) certify(subject pkix.Name) *x509.Certificate {
	a.t.Helper()
	if len(subject.ExtraNames) > 0 { // They replace the common name, unless it is among them.
		subject.ExtraNames = append(subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: subject.CommonName})
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, &k.PublicKey, a.key)
	require.NoError(a.t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return c
}

// TestSmallerRole: a file with a fault gives nobody a greater role, but a smaller
// one at once.
func TestSmallerRole(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "tokens"), "a write aaaaaaaaaaaaaaaa\nb write bbbbbbbbbbbbbbbb\n")
	tokens, err := access.OpenTokens(file, nil, quiet)
	require.NoError(t, err)
	write(t, file, "a read aaaaaaaaaaaaaaaa\nb admin bbbbbbbbbbbbbbbb\njunk\n")
	require.Error(t, tokens.Reload())
	for secret, want := range map[string]swoosh.Role{"aaaaaaaaaaaaaaaa": swoosh.RoleRead, "bbbbbbbbbbbbbbbb": swoosh.RoleWrite} {
		c, err := tokens.Authenticate(bearer(secret))
		require.NoError(t, err)
		require.Equal(t, want, c.Role)
	}
}

// TestFilesOfOthers: whoever can change a file that decides who is let in, or read
// a secret, gets in. Root alone may let a group read a secret.
func TestFilesOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to make a file of somebody else")
	}
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.sign("server", time.Now().Add(time.Hour))
	files := map[string]string{"cert": cert, "key": key, "ca": ca.pem, "tokens": "a read aaaaaaaaaaaaaaaa\n"}
	open := func() error {
		c, err := access.OpenCertificates(filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca"), quiet)
		if err == nil {
			_, err = access.OpenTokens(filepath.Join(dir, "tokens"), c, quiet)
		}
		return err
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	require.NoError(t, open())
	for name := range files {
		file, secret := filepath.Join(dir, name), name == "key" || name == "tokens"
		for _, test := range []struct {
			mode    os.FileMode
			owner   int
			refused string
		}{
			{0o600, 65534, "belongs to the user with id 65534"},
			{0o620, 0, "can be written by other users"},
			{0o602, 0, "can be written by other users"},
			{0o640, 0, ""},
			{0o644, 0, map[bool]string{true: "is secret, and other users can read it"}[secret]},
			{0o600, 0, ""},
		} {
			require.NoError(t, os.Chmod(file, test.mode))
			require.NoError(t, os.Chown(file, test.owner, 0))
			if err := open(); test.refused == "" {
				require.NoError(t, err, "%s %o", name, test.mode)
			} else {
				require.ErrorContains(t, err, file+" "+test.refused)
			}
		}
	}
}

// TestShortTokens are refused, although the file shows their hash only.
func TestShortTokens(t *testing.T) {
	short, long := "123456789abcdef", "0123456789abcdef"
	tokens, err := access.OpenTokens(write(t, filepath.Join(t.TempDir(), "tokens"),
		fmt.Sprintf("a admin sha256:%x\nb read sha256:%x\n", sha256.Sum256([]byte(short)), sha256.Sum256([]byte(long)))), nil, quiet)
	require.NoError(t, err)
	_, err = tokens.Authenticate(bearer(short))
	require.ErrorContains(t, err, "not valid on this server")
	_, err = tokens.Authenticate(bearer(long))
	require.NoError(t, err)
}

// TestSuites: a client that has only CBC suites is refused.
func TestSuites(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.sign("server", time.Now().Add(time.Hour))
	certificates, err := access.OpenCertificates(write(t, filepath.Join(dir, "cert"), cert), write(t, filepath.Join(dir, "key"), key), write(t, filepath.Join(dir, "ca"), ca.pem), quiet)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS, s.Config.ErrorLog = certificates.Config(), slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	defer s.Close()
	for suite, works := range map[uint16]bool{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: false, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: true} {
		c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
		require.Equal(t, works, err == nil, err)
		if works {
			require.NoError(t, c.Close())
		}
	}
}
