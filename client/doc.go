// Package client talks to a swoosh server. It does not import the server's
// code.
//
//	c, err := client.New("http://127.0.0.1:8420", client.Options{})
//	result, err := c.Do(ctx, client.Command{Name: "project.create", Payload: project})
//
// A call returns when it has a final answer. Until then it retries with
// backoff, within the budget of Options.Retry: if there is no answer, and on
// 429 and 5xx, but on nothing else. Retries never apply a command twice,
// because every command has an idempotency key and key_since; the client makes
// them if the caller does not.
//
// Every call returns errors of type *Error, whether the server refused or did
// not answer. Check its Code and read its Next. If its Happened is Unknown,
// send its Again once more.
//
// Hashes are 64 lower-case hex digits. An hlc is "<12 hex digits of Unix ms>-<4
// hex digits of counter>-<node>": text order is time order.
package client
