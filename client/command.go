package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Command is a command to apply. Only Name is required. Its JSON is what POST
// /command accepts, so a command can be stored and sent later.
type Command struct {
	Name string // as GET /commands lists it, such as "project.create"
	// Payload is a value that encodes to a JSON object, or that JSON as []byte,
	// json.RawMessage or jsontext.Value; nil means {}. Nil slices and maps are
	// encoded as empty ones.
	Payload any

	// Key is the idempotency key: the command is applied once, however often it
	// is sent. It has 1 to 255 characters from ! to ~ without " and \. Empty:
	// the client makes one of 128 random bits. KeySince is the newest hlc known
	// when the key was made; empty: the newest that the client knows. Keep both
	// to send the command again after the caller crashes.
	Key      string
	KeySince string

	// Fenced sends the command with Do alone and without the two: its payload makes sure that
	// it counts once, as that of a heartbeat does. It is not in the JSON.
	Fenced bool

	Expect *Expect // what must hold of the state; nil: anything
	After  string  // an hlc; the entry's hlc will be greater; empty: none

	Signer     string   // same form as a key; empty: none
	Signature  string   // base64; empty: none
	WindowID   string   // same form as a key; empty: none
	InputsHash string   // empty: none
	Evidence   []string // references; empty: none
}

// Expect says what must hold of the state for a command to be applied;
// otherwise it is refused with StaleState. Empty and nil members are not
// checked.
type Expect struct {
	StateHash string
	Chain     string  // of the last entry: no other log has it
	Index     *uint64 // of the last entry
	Path      string  // JSON Pointer of a table's row
	Hash      string  // of the row at Path, from Meta.ETag; empty: the row must not exist
}

// Result is the answer to an accepted command, whose entry is durable.
type Result struct {
	Index     uint64 `json:"index"` // of the command's entry
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"` // after the command
	Changed   bool   `json:"changed"`    // false: accepted, but the state is the same
	Duplicate bool   `json:"duplicate"`  // applied before; this repeats the first answer

	// Result is what the command answered; nil if it has none. See also the
	// function Do.
	Result jsontext.Value `json:"result,omitzero"`
}

// Do applies one command. Retries never apply it twice, unless it is Fenced.
func (c *Client) Do(ctx context.Context, command Command) (Result, error) {
	var err error
	if !command.Fenced {
		if command, err = c.keyed(ctx, command); err != nil {
			return Result{}, err
		}
	}
	var result Result
	err = c.signing(ctx, func(hub string) error {
		signed, err := c.signer.signed(command, command, hub, nil)
		if err != nil {
			return err
		}
		raw, err := signed.MarshalJSON()
		if err != nil {
			return err
		}
		return c.post(ctx, []Command{signed}, raw, nil, &result)
	})
	return result, err
}

// Do applies one command, like the method, and reads its result into a T,
// strictly: a T lacks no member of the result. If it does not fit, the error is
// Mistyped; then, and only then, Result is not zero, and the command was applied.
//
//	slip, result, err := client.Do[Slip](ctx, c, client.Command{Name: "desk.take", Payload: Take{"anna"}})
func Do[T any](ctx context.Context, c *Client, command Command) (T, Result, error) {
	var value T
	result, err := c.Do(ctx, command)
	if err != nil {
		return value, result, err
	}
	if err := json.Unmarshal(result.Result, &value, json.RejectUnknownMembers(true)); err != nil {
		e := failure(Mistyped, Unknown, err, "%s was applied as entry %d, but its result does not fit %T: %v", command.Name, result.Index, value, err)
		e.Next = "Use a type that fits the result's schema in GET /commands/" + command.Name + "."
		return value, result, e
	}
	return value, result, nil
}

// Batch applies 1 to 1000 commands atomically: in order, each seeing the
// effects of those before it, in one durable write, or not at all. The Key and
// KeySince of the first command apply to the whole batch; the others must have
// none. The Position of a refusal says which command was refused.
func (c *Client) Batch(ctx context.Context, commands []Command) ([]Result, error) {
	if len(commands) == 0 {
		return nil, failure(MalformedRequest, No, nil, "a batch must have 1 to 1000 commands, but this one has none")
	}
	commands = slices.Clone(commands)
	var err error
	if commands[0], err = c.keyed(ctx, commands[0]); err != nil {
		return nil, err
	}
	var answer struct {
		Results []Result `json:"results"`
	}
	err = c.signing(ctx, func(hub string) error {
		signed, body := slices.Clone(commands), []byte{'['}
		for i, command := range commands {
			if signed[i], err = c.signer.signed(command, commands[0], hub, &batchPlace{len(commands), i}); err != nil {
				return err
			}
			command = signed[i]
			if i == 0 {
				command.Key = "" // It is sent in the header.
			}
			raw, err := command.MarshalJSON()
			if err != nil {
				return err
			}
			body = append(append(body, raw...), ',')
		}
		body[len(body)-1] = ']'
		return c.post(ctx, signed, body, map[string]string{"Idempotency-Key": commands[0].Key}, &answer)
	})
	return answer.Results, err
}

// keyed returns the command with Key and KeySince filled in.
func (c *Client) keyed(ctx context.Context, command Command) (Command, error) {
	command.Key = cmp.Or(command.Key, newKey())
	var err error
	if command.KeySince == "" {
		command.KeySince, err = c.since(ctx)
	}
	return command, err
}

func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails (crypto/rand).
	return hex.EncodeToString(b[:])
}

// quietMost is a little longer than a server takes to report that a command is
// not durable yet or that a wait has timed out. A server that is silent for
// longer is considered gone.
const quietMost = 65 * time.Second

// post sends commands, with the same bytes each time, until there is a final
// answer.
func (c *Client) post(ctx context.Context, commands []Command, body []byte, header map[string]string, v any) error {
	mayHaveHappened := false
	err := c.again(ctx, func() error {
		err := c.postOnce(ctx, body, header, v)
		if err == nil {
			return nil
		}
		e := asError(err)
		if mayHaveHappened && !e.metTheKey() {
			e.Happened = Unknown // The server's answer is about this attempt only.
		}
		mayHaveHappened = e.Happened == Unknown
		return e
	})
	if err != nil && mayHaveHappened {
		asError(err).Again = commands
	}
	return err
}

func (c *Client) postOnce(ctx context.Context, body []byte, header map[string]string, v any) error {
	r := request{method: http.MethodPost, path: "/command", header: header, body: bytes.NewReader(body), kind: "application/json", quiet: quietMost, changes: true}
	return c.ask(ctx, r, v)
}

// Import replaces the state by a document, as State returns it for the empty
// pointer. On an empty log, the document becomes the genesis; later it replaces
// the state whose hash is ifMatch. Import sends the document only once and does
// not retry. If the answer is lost, compare the state hash with that of the
// document. After Import has returned an error, it may still call document.Read
// once.
func (c *Client) Import(ctx context.Context, document io.Reader, ifMatch string) (Result, error) {
	// The server usually refuses before it reads the body, so wait for 100
	// Continue before sending it.
	header := map[string]string{"Expect": "100-continue"}
	if ifMatch != "" {
		header["If-Match"] = `"` + ifMatch + `"`
	}
	body, out := io.Pipe() // net/http waits for the body's reader even after ctx has ended.
	defer body.Close()
	defer context.AfterFunc(ctx, func() { _ = out.CloseWithError(context.Cause(ctx)) })()
	go func() {
		_, err := io.Copy(out, document)
		_ = out.CloseWithError(err) // It never fails (io.PipeWriter).
	}()
	r := request{method: http.MethodPost, path: "/state", header: header, body: io.NopCloser(body), kind: "application/json", changes: true}
	var result Result
	err := c.ask(ctx, r, &result)
	if err == nil {
		return result, nil
	}
	e := asError(err)
	if e.Happened == Unknown {
		e.Next = "Compare the state hash in the ETag of GET /state with that of the document. If they differ, import again."
	}
	return Result{}, e
}
