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
)

// Command is something that is to happen. Only Name is required. Its JSON is what
// POST /command takes, so that a command can be kept and sent later.
type Command struct {
	Name string // as GET /commands lists it, such as "project.create"
	// Payload is a value that encodes to a JSON object, or that JSON as
	// []byte, json.RawMessage or jsontext.Value; nil is {}. Lists and maps that
	// are nil are encoded as empty ones.
	Payload any

	// Key makes the command happen once, however often it is sent: 1 to 255
	// characters from ! to ~ without " and \. Empty: the client makes one, of 128
	// random bits. KeySince is the newest hlc that was known when the key was
	// made; empty: the newest that the client knows. Keep both to send the
	// command again after a crash of the caller.
	Key      string
	KeySince string

	Expect *Expect // what must hold; nil: nothing
	After  string  // an hlc: the entry's will be greater; empty: none

	Signer     string   // has the form of a key; empty: none
	Signature  string   // base64; empty: none
	WindowID   string   // has the form of a key; empty: none
	InputsHash string   // empty: none
	Evidence   []string // references; empty: none
}

// Expect is what must hold of the state for a command to be applied; else it is
// refused with StaleState. What is empty or nil is not asked.
type Expect struct {
	StateHash string
	Index     *uint64 // of the last entry
	Path      string  // JSON Pointer of a table's row
	Hash      string  // of the row at Path, as Meta.ETag gives it; empty: the row is not there
}

// Result is the answer to an accepted command. It is on disk.
type Result struct {
	Index     uint64 `json:"index"` // of its entry
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"` // after it
	Changed   bool   `json:"changed"`    // false: lawful, and altered nothing
	Duplicate bool   `json:"duplicate"`  // it had landed before; this is the first answer
}

// Do applies one command. Sent again after a lost answer it happens once all
// the same.
func (c *Client) Do(ctx context.Context, command Command) (Result, error) {
	command, err := c.keyed(ctx, command)
	if err != nil {
		return Result{}, err
	}
	raw, err := command.MarshalJSON()
	if err != nil {
		return Result{}, err
	}
	var result Result
	err = c.post(ctx, []Command{command}, raw, nil, &result)
	return result, err
}

// Batch applies 1 to 1000 commands as one: in order, each seeing those before
// it, in one durable write, or none of them. The first one's Key and KeySince
// stand for the whole; the others have none. A refusal's Position says which
// command was refused.
func (c *Client) Batch(ctx context.Context, commands []Command) ([]Result, error) {
	if len(commands) == 0 {
		return nil, failure(MalformedRequest, No, nil, "a batch has 1 to 1000 commands, this one has none")
	}
	commands = slices.Clone(commands)
	var err error
	if commands[0], err = c.keyed(ctx, commands[0]); err != nil {
		return nil, err
	}
	body := []byte{'['}
	for i, command := range commands {
		if i == 0 {
			command.Key = "" // It stands in the header.
		}
		raw, err := command.MarshalJSON()
		if err != nil {
			return nil, err
		}
		body = append(append(body, raw...), ',')
	}
	body[len(body)-1] = ']'
	var answer struct {
		Results []Result `json:"results"`
	}
	err = c.post(ctx, commands, body, map[string]string{"Idempotency-Key": commands[0].Key}, &answer)
	return answer.Results, err
}

// keyed gives the command with a key, made where it has none.
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

// quietMost is a little more than a server takes until it says that a command is
// not durable yet, or that what is waited for has not come. Who has said nothing by
// then has gone.
const quietMost = 65 * time.Second

// post sends commands, the same bytes each time, until there is an answer that
// will stay so.
func (c *Client) post(ctx context.Context, commands []Command, body []byte, header map[string]string, v any) error {
	mayHaveHappened := false
	err := c.again(ctx, func() error {
		err := c.postOnce(ctx, body, header, v)
		if err == nil {
			return nil
		}
		e := asError(err)
		if mayHaveHappened && !e.metTheKey() {
			e.Happened = Unknown // The server speaks of this attempt alone.
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

// Import makes a document the state, as State with the empty pointer gives it:
// on an empty log it becomes the genesis; later it replaces the state whose hash
// is ifMatch. The document is sent once, and never again: where the answer is
// lost, compare the state hash with that of the document. It may still be read
// from when Import has returned an error, once.
func (c *Client) Import(ctx context.Context, document io.Reader, ifMatch string) (Result, error) {
	// The server refuses most of what it refuses before it reads the body, so the
	// body waits.
	header := map[string]string{"Expect": "100-continue"}
	if ifMatch != "" {
		header["If-Match"] = `"` + ifMatch + `"`
	}
	body, out := io.Pipe() // net/http waits for its reader, also when ctx has ended.
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
		e.Next = "Compare the state hash that GET /state gives as its ETag with that of the document: if it differs, import again."
	}
	return Result{}, e
}
