package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/chorus-services/swoosh/client"
)

// connect returns a client of the hub. The files of token and authorities are read anew each
// time, so that they can be replaced.
func (h Home) connect(retry client.Retry, signer *client.Signer) (*client.Client, error) {
	o := client.Options{Retry: retry, Signer: signer}
	if h.TokenFile != "" {
		raw, err := os.ReadFile(h.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("the token cannot be read: %w: put the file back, or join with another --token-file", err)
		}
		o.Token = strings.TrimSpace(string(raw))
	}
	if h.CAFile != "" {
		raw, err := os.ReadFile(h.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the authorities cannot be read: %w: put the file back, or join with another --ca-file", err)
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !o.TLS.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%s holds no certificate in PEM: name a file that does", h.CAFile)
		}
	}
	return client.New(h.Address, o)
}

// asKey returns a client that signs with a key as that key itself, for registrations.
func (h Home) asKey(retry client.Retry, key ed25519.PrivateKey) (*client.Client, error) {
	return h.connect(retry, client.NewSigner(key, client.PublicKey(key)).For(h.Hub))
}

// asNode returns a client that signs with a key as the node.
func (h Home) asNode(retry client.Retry, key ed25519.PrivateKey) (*client.Client, error) {
	return h.connect(retry, client.NewSigner(key, h.Node).For(h.Hub))
}

// The hub's rows, as far as a node reads them.
type (
	keyRow struct {
		Node   string `json:"node"`
		Number int    `json:"number"`
		Until  string `json:"until"` // empty: it is the node's present key
	}
	nodeRow struct {
		Phase      string `json:"phase"`
		Owner      string `json:"owner"`
		Hostname   string `json:"hostname"`
		Key        string `json:"key"`
		KeyExpires int64  `json:"key_expires"` // Unix ms; 0: it does not expire
		Session    string `json:"session"`
		Since      string `json:"since"`
		Reason     string `json:"reason"`
	}
)

// The phases of a node.
const (
	active       = "ACTIVE"
	deregistered = "DEREGISTERED"
)

// expires returns when the key expires; zero: it does not.
func (r nodeRow) expires() time.Time {
	if r.KeyExpires == 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.KeyExpires).UTC()
}

// findKey returns the row of a key; ok is false if the hub does not know it.
func findKey(ctx context.Context, api *client.Client, key string, options ...client.ReadOption) (row keyRow, m client.Meta, ok bool, err error) {
	row, m, err = client.Get[keyRow](ctx, api, "/fleet/keys/"+key, options...)
	if client.IsCode(err, client.NotFound) {
		return row, m, false, nil
	}
	return row, m, err == nil, err
}

// getNode returns the row of a node.
func getNode(ctx context.Context, api *client.Client, node string, options ...client.ReadOption) (nodeRow, client.Meta, error) {
	return client.Get[nodeRow](ctx, api, "/fleet/nodes/"+node, options...)
}

// register is the payload of fleet.register.
type register struct {
	PublicKey  string `json:"public_key"`
	Owner      string `json:"owner"`
	Session    string `json:"session"`
	Hostname   string `json:"hostname,omitzero"`
	KeyExpires int64  `json:"key_expires,omitzero"`
	About      `json:",inline"`
}

// entryAt returns the index of the entry with a stamp, 0 if the log does not have it, and the
// first index that the log has.
func entryAt(ctx context.Context, api *client.Client, stamp string) (index, first uint64, err error) {
	h, err := api.Health(ctx)
	if err != nil {
		return 0, 0, err
	}
	for low, high := h.Log.First, h.Index; low <= high && low > 0; {
		middle := low + (high-low)/2
		var at client.Entry
		for e, err := range api.Log(ctx, middle) {
			if err != nil {
				return 0, 0, err
			}
			at = e
			break
		}
		switch {
		case at.HLC == stamp:
			return at.Index, h.Log.First, nil
		case at.HLC < stamp:
			low = middle + 1
		default:
			high = middle - 1
		}
	}
	return 0, h.Log.First, nil
}
