package program

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
)

// takesSignatures reports whether a program has commands that may be signed.
func (a *app) takesSignatures() bool {
	return slices.ContainsFunc(swoosh.Describe(a.parts...), func(c swoosh.CommandInfo) bool { return c.Signed != "" })
}

// signFlags are the flags of a call that is signed: with a key, or as the node that a
// directory is of.
type signFlags struct {
	file, name string
	dir        string
}

// withKey adds the flags of a call that a key may sign.
func (c *connection) withKey() {
	c.flags.StringVar(&c.sign.file, "sign", "", "`FILE` with the key (PEM) that signs (default: unsigned)")
	c.flags.StringVar(&c.sign.name, "signer", "", "with --sign: who signs, such as n17 (default: the public key itself, as fleet.register has it)")
}

// asNode adds the flag of a call that a node may sign.
func (c *connection) asNode() {
	c.flags.StringVar(&c.sign.dir, "dir", "", "`DIR` of the node that signs, and whose hub is asked, such as ./{program}-node (default: unsigned, with your token)")
}

// home returns what the directory of --dir says, and nil without one.
func (c *connection) home() (*agent.Home, error) {
	if c.sign.dir == "" {
		return nil, nil
	}
	home, err := agent.ReadHome(c.sign.dir)
	if errors.Is(err, agent.ErrNotJoined) {
		return nil, exitf(codeUsage, "--dir %s is not the directory of a node that joined, it has no hub.json: %s node join makes one", c.sign.dir, c.app.name())
	}
	if err != nil {
		return nil, exitf(codeUsage, "--dir: %w", err)
	}
	return &home, nil
}

// signer returns who signs, nil if nobody does.
func (c *connection) signer(home *agent.Home) (*client.Signer, error) {
	file, name := c.sign.file, c.sign.name
	if home != nil && (file != "" || name != "") {
		return nil, exitf(codeUsage, "--dir signs as a node, and --sign with a key: give one of them")
	}
	if home != nil {
		file, name = filepath.Join(c.sign.dir, "key"), home.Node
	}
	if file == "" && name != "" {
		return nil, exitf(codeUsage, "--signer says who signs with the key of --sign: give that too")
	}
	if file == "" {
		return nil, nil
	}
	key, err := client.LoadKey(file)
	if err != nil {
		return nil, exitf(codeUsage, "%w", unread("the key cannot be used", err))
	}
	if name == "" {
		name = client.PublicKey(key)
	}
	signer := client.NewSigner(key, name)
	if home != nil {
		signer = signer.For(home.Hub)
	}
	return signer, nil
}

// pointTo sets what the command line and the environment leave open from the home of a
// node, if there is one.
func (c *connection) pointTo(h *agent.Home) {
	if h == nil {
		return
	}
	if !c.isPointed() {
		c.address = h.Address
	}
	if c.tokenFile == "" && os.Getenv(c.app.variable("token")) == "" {
		c.tokenFile = h.TokenFile
	}
	if c.ca == "" {
		c.ca = h.CAFile
	}
}

// checkHub fails if the node that signs has joined another hub.
func (c *connection) checkHub(ctx context.Context, api *client.Client) error {
	h, err := c.home()
	if h == nil || err != nil {
		return err
	}
	is, err := api.Health(ctx)
	switch {
	case err != nil:
		return err
	case is.Hub == "":
		return &client.Error{Code: client.Starting, Status: http.StatusServiceUnavailable, Happened: client.No, Detail: "the server does not say yet which hub it is"}
	case is.Hub != h.Hub:
		return exitf(codeFailed, "the hub at %s is %.12s…, and %s joined %.12s…: nothing is signed for another hub; give the right --addr, or let the node join this one with %s node join",
			c.address, is.Hub, h.Node, h.Hub, c.app.name())
	}
	return nil
}
