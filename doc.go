// Package swoosh is a small durable control plane. Services post commands; a
// deterministic reducer turns them into state; every command is on disk before
// it is answered; after a crash the state is what it was, bit for bit, and can
// prove it.
//
// # The life of a command
//
// On the caller's goroutine ([Engine.Submit]; over HTTP api.go calls it) the
// request is decoded, validated and brought into canonical form, and the
// guards are asked, which may look at the world. Then it enters a queue that
// is bounded in commands and in bytes.
//
// One goroutine, run, is the single writer. It takes what is queued as a
// group. For each command it looks the idempotency key up, refuses if the
// engine is read-only or the disk full, stamps it with the hybrid logical
// clock, holds what the caller expects against the state, and reduces it
// (reducer.go): gates, verdicts of the guards, phase, Check, Apply, reactions.
// The digests of the rows that changed give the new state hash; the entry is
// chained to the one before. After the group the state is forked once, which
// is cheap because tables are copied on write.
//
// A second goroutine, commit, appends the group to the log in one synced
// transaction, writes the mark, publishes the fork to readers, and answers
// everybody. Meanwhile run reduces the next group: it consists of whatever
// arrived while this one was being synced. No timer makes a group.
//
// Refused commands are not entries. An answer, a refusal too, waits until what
// it rests on is durable.
//
// # Boot
//
// [Open] loads the newest good snapshot and replays the log behind it through
// the reducer that live traffic goes through, checking every link of the
// chain. [Verify] and [Engine.ViewAt] take the same road.
//
// # Domains
//
// The engine knows no domain. A [Domain] is a part of the state and a list of
// its commands; programs bring their own, see [NewDomain] and the example.
package swoosh
