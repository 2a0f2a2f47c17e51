package agent

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/durable"
)

// Home is what a directory says of the node that joined from there: where its hub is, and
// what that calls it. It is kept in hub.json.
type Home struct {
	Address   string `json:"address"`
	Hub       string `json:"hub"` // the identity of its log
	Node      string `json:"node"`
	Owner     string `json:"owner"`
	Hostname  string `json:"hostname,omitzero"` // as the hub last had it
	TokenFile string `json:"token_file,omitzero"`
	CAFile    string `json:"ca_file,omitzero"`
}

// dir is the directory of a node.
type dir string

func (d dir) path(name string) string { return filepath.Join(string(d), name) }

func (d dir) keyFile() string  { return d.path("key") }
func (d dir) nextFile() string { return d.path("key.next") }
func (d dir) hubFile() string  { return d.path("hub.json") }

// lock keeps other processes from running the node.
func (d dir) lock() (unlock func() error, err error) {
	unlock, err = durable.Lock(d.path("lock"))
	if errors.Is(err, durable.ErrLocked) {
		err = fmt.Errorf("a node runs in %s already: stop it first: %w", d, err)
	}
	return unlock, err
}

// ErrNotJoined is the error of a directory from which no node has joined: it has no hub.json.
var ErrNotJoined = errors.New("no node has joined from there")

// ReadHome reads what a directory says of its node. The error is ErrNotJoined if none has
// joined from there.
func ReadHome(directory string) (Home, error) { return dir(directory).readHub() }

// readHub reads hub.json.
func (d dir) readHub() (h Home, err error) {
	raw, err := os.ReadFile(d.hubFile())
	if errors.Is(err, fs.ErrNotExist) {
		return h, fmt.Errorf("%s is missing: %w: join a hub first", d.hubFile(), ErrNotJoined)
	}
	if err == nil {
		err = json.Unmarshal(raw, &h, json.RejectUnknownMembers(true))
		if err == nil && (h.Address == "" || h.Hub == "" || h.Node == "" || h.Owner == "") {
			err = errors.New("address, hub, node and owner must be there")
		}
		if err != nil {
			err = fmt.Errorf("%s cannot be used: %w: join the hub again, which writes it anew", d.hubFile(), err)
		}
	}
	return h, err
}

// writeHub replaces hub.json.
func (d dir) writeHub(h Home) error {
	raw, err := json.Marshal(h, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return durable.Replace(durable.OS(), d.hubFile(), func(f durable.File) error {
		_, err := f.Write(append(raw, '\n'))
		return err
	})
}

// keys are the private keys of a node.
type keys struct {
	current ed25519.PrivateKey
	next    ed25519.PrivateKey // of a rotation that is not complete; nil: there is none
}

// readKeys reads the keys. The error is fs.ErrNotExist if there is none.
func (d dir) readKeys() (k keys, err error) {
	if k.next, err = client.LoadKey(d.nextFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k.current, err = client.LoadKey(d.keyFile()) // After key.next, which becomes key.
	return k, err
}

// settle makes key.next the key if the hub has it as the present one, and returns the keys
// that there are then. Others may do the same meanwhile: key.next is looked at under a lock,
// so that none but the present one is ever moved.
func (d dir) settle(present string) (k keys, err error) {
	unlock, err := d.lockKeys()
	if err != nil {
		return k, err
	}
	defer unlock()
	if k, err = d.readKeys(); err != nil || k.next == nil || client.PublicKey(k.next) != present {
		return k, err
	}
	if err = os.Rename(d.nextFile(), d.keyFile()); err == nil {
		err = durable.OS().SyncDir(string(d))
	}
	return keys{current: k.next}, err
}

// lockKeys waits for its turn to change the keys, which others have for a moment each.
func (d dir) lockKeys() (unlock func() error, err error) {
	for range 1000 {
		if unlock, err = durable.LockDir(string(d)); !errors.Is(err, durable.ErrLocked) {
			return unlock, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, err
}

// changed returns a text that differs when the key files do, or hub.json, which join writes
// anew.
func (d dir) changed() string {
	text := ""
	for _, name := range []string{d.keyFile(), d.nextFile(), d.hubFile()} {
		if info, err := os.Stat(name); err == nil {
			text += fmt.Sprintf("%s %d %s,", info.ModTime(), info.Size(), info.Mode())
		}
	}
	return text
}
