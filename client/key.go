package client

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// MakeKey makes an Ed25519 key (RFC 8032) and writes it to a new file, as PEM with PKCS #8
// (RFC 8410), mode 0600. It fails if there is such a file: a key that was replaced is lost.
// The file is whole and on disk when MakeKey returns, or it is not there.
func MakeKey(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeNew(file, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}))
}

const keyBlock = "PRIVATE KEY"

// writeNew writes a file that must not be there yet, aside first.
func writeNew(file string, content []byte) (err error) {
	dir := filepath.Dir(file)
	aside, err := os.CreateTemp(dir, filepath.Base(file)+".*.tmp") // Mode 0600.
	if err != nil {
		return err
	}
	defer os.Remove(aside.Name())
	if _, err = aside.Write(content); err == nil {
		err = aside.Sync()
	}
	if closed := aside.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	// Unlike a rename, a link never replaces a file.
	if err := os.Link(aside.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// LoadKey reads a key that MakeKey or `openssl genpkey -algorithm ed25519` wrote. It
// refuses a file that others than its owner may read or write, and any other key.
func LoadKey(file string) (ed25519.PrivateKey, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("others may use the key in %s, its mode is %04o: chmod 600 %[1]s", file, mode)
	}
	if !info.Mode().IsRegular() || info.Size() > keyMost {
		return nil, notAKey(file)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(content)
	if block == nil || block.Type != keyBlock || len(bytes.TrimSpace(rest)) > 0 {
		return nil, notAKey(file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if ours, ok := key.(ed25519.PrivateKey); err == nil && ok {
		return ours, nil
	}
	return nil, notAKey(file)
}

const keyMost = 4096 // bytes of a file; a key has some 120

func notAKey(file string) error {
	return fmt.Errorf("%s is not an Ed25519 private key in PEM (PKCS #8): make one with swoosh keygen, or openssl genpkey -algorithm ed25519", file)
}
