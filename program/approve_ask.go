package program

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/client"
)

func newApproveAsk(a *app) *cobra.Command {
	cmd, f := newFleetCommand(a, "ask COMMAND JSON", "Ask for approvals of a command",
		`Asks for approvals of one command. JSON is its payload, @FILE for a file, or - for stdin.
It makes the command's idempotency key and key_since, which are part of what is approved,
and prints the hash by which it is approved and sent.

It holds for 24 hours. Without --dir it is asked in nobody's name, with your token.`,
		func(f *fleetCall) error {
			payload, err := readPayload(f.ctx, a.in, f.args[1])
			if err != nil {
				return err
			}
			content, hash, err := f.newContent(f.args[0], payload)
			if err != nil {
				return err
			}
			result, err := f.api.Do(f.ctx, client.Command{Name: "approval.ask", Payload: approval.Ask{Content: content}})
			if err == nil && f.out.json {
				return f.out.printJSON(struct {
					client.Result
					Hash    string           `json:"hash"`
					Content approval.Content `json:"content"`
				}{result, hash, content})
			}
			return f.sent(result, err, func(r client.Result) (string, error) {
				return fmt.Sprintf("asked as %s, entry %d, until %s; who approves it runs: %s approve %.12s --dir DIR; then send it with: %s approve send %.12s",
					hash, r.Index, time.Now().Add(holdsFor).UTC().Format("2006-01-02 15:04Z"), a.name(), hash, a.name(), hash), nil
			})
		})
	cmd.Example = `  {program} approve require ingestion.fail --nodes n1
  {program} approve ask ingestion.fail '{"project":"alpha","error":"the source is gone"}'`
	cmd.ValidArgsFunction = f.completePayload
	return cmd
}

// newContent returns a command with a new key as it is approved, and its hash.
func (f *fleetCall) newContent(name string, payload []byte) (approval.Content, string, error) {
	h, err := f.api.Health(f.ctx)
	if err != nil {
		return "", "", f.app.failed(err)
	}
	var key [16]byte
	_, _ = rand.Read(key[:]) // It never fails (crypto/rand).
	text, err := json.Marshal(map[string]any{"command": name, "payload": jsontext.Value(payload), "idempotency_key": hex.EncodeToString(key[:]), "key_since": h.HLC})
	if err == nil {
		err = (*jsontext.Value)(&text).Canonicalize()
	}
	if err != nil {
		return "", "", exitf(codeUsage, "the payload cannot be sent: %w", err)
	}
	content := approval.Content(text)
	if err := content.Validate(); err != nil {
		return "", "", exitf(codeUsage, "what would be asked %w", err)
	}
	command, err := swoosh.ParseContent(string(content))
	return content, command.Content().String(), err
}

func newApproveSend(a *app) *cobra.Command {
	var window string
	cmd, f := newFleetCommand(a, "send HASH", "Send what was asked for, exactly as it was asked",
		`Sends the command that was asked for, as the server has it: with the payload, the
idempotency key and the key_since that were approved. However often it is sent, it is
applied once. With --dir the node signs it.`,
		func(f *fleetCall) error {
			r, err := f.find(f.args[0])
			if err != nil {
				return err
			}
			command := r.send()
			command.WindowID = window
			result, err := f.api.Do(f.ctx, command)
			if client.IsCode(err, client.IdempotencyKeyReused) {
				return exitf(codeFailed, "%w; who may read what is asked can use its key, so ask anew: %s approve ask", f.sent(result, err, nil), a.name())
			}
			var refused *client.Error
			if errors.As(err, &refused) || f.out.json {
				return f.sent(result, err, nil)
			}
			if err != nil {
				return err
			}
			return printResult(f.out, result)
		})
	f.byHash(cmd)
	cmd.Flags().StringVar(&window, "window", "", "`ID` of the window that the command names, and in which alone it is accepted")
	return cmd
}

// usedBy says of a key that is used whether the command that was asked for used it. If
// another one did, that stays to be told.
func (f *fleetCall) usedBy(r askedRow, o client.Outcome) (text string, open bool, err error) {
	for x, err := range f.api.Log(f.ctx, o.Results[0].Index) {
		if err != nil {
			return "", false, err
		}
		if x.Command == r.command.Name && x.KeySince == r.command.KeySince.String() && x.Batch.Count == 0 && string(x.Payload) == string(r.payload) {
			return "", false, nil
		}
		return fmt.Sprintf("its key was used by %s, entry %d: ask anew", x.Command, x.Index), true, nil
	}
	return "", false, nil
}

func newApproveWithdraw(a *app) *cobra.Command {
	cmd, f := newFleetCommand(a, "withdraw HASH", "Take away what was asked, and what nodes said to it",
		`Takes away what was asked, and what nodes said to it. With --dir it is signed by the node,
which must be the one that asked; without, it needs the role admin.`,
		func(f *fleetCall) error {
			r, err := f.find(f.args[0])
			if err != nil {
				return err
			}
			return f.send("approval.withdraw", approval.Withdraw{Content: approval.Hash(r.hash)}, done("%s is withdrawn", r))
		})
	f.byHash(cmd)
	return cmd
}
