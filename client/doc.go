// Package client talks to a swoosh server. It links nothing of the server.
//
//	c, err := client.New("http://127.0.0.1:8420", client.Options{})
//	result, err := c.Do(ctx, client.Command{Name: "project.create", Payload: project})
//
// A call returns once there is an answer that will stay so. Until then it asks
// again, with backoff, within the budget of Options.Retry: after no answer, 429
// and 5xx, and after nothing else. A command that is sent again happens once all
// the same, because every command carries an idempotency key and key_since,
// which the client makes where the caller gives none.
//
// Every error of a call is an *Error, whether the server refused or no answer
// came: branch on its Code, read its Next, and where its Happened is Unknown send
// its Again once more.
//
// Hashes are 64 lower-case hex digits. An hlc is "<12 hex digits of Unix
// ms>-<4 hex digits of counter>-<node>": text order is time order.
package client
