// Package swoosh is a small durable control plane. Services post commands. A
// deterministic reducer turns them into state. Every command is on disk before
// it is answered. After a crash the state is the same, bit for bit, and proves
// it.
//
// # The life of a command
//
// On the caller's goroutine, [Engine.Submit] decodes the request, validates it
// and brings it into canonical form (over HTTP, api.go calls it). Then it asks
// the guards, which may look at the world. Then the command enters a queue,
// bounded in commands and in bytes.
//
// One goroutine, run, is the single writer. It takes what is queued as a group.
// For each command it looks up the idempotency key, refuses if the engine is
// read-only or the disk full, stamps the command with the hybrid logical clock,
// compares the caller's expectations with the state, and reduces it
// (reducer.go): gates, verdicts of the guards, phase, Check, Apply, reactions.
// The digests of the changed rows give the new state hash; the entry is chained
// to the one before. After the group, run forks the state once, which is cheap
// because tables are copied on write.
//
// A second goroutine appends the group to the log, which is one write to the
// journal and one sync, publishes the fork to readers, and answers the callers.
// Meanwhile run reduces the next group: whatever arrived while this one was synced.
// If nothing else is queued, run appends the group itself. No timer makes a group.
//
// The log is kept twice. After the journal, the group is written to a second copy,
// without a sync. Beside the writer, Badger's tables are made of the entries there;
// they answer by index. Either copy heals the other (package internal/twin).
//
// Refused commands are not entries. An answer, even a refusal, waits until what
// it is based on is durable.
//
// # Boot
//
// [Open] loads the newest good snapshot and replays the log after it with the
// reducer of live traffic, checking every link of the chain; entries are read and
// decoded ahead on all processors. Rows of a snapshot are hashed as bytes, and
// decoded when they are first read. Verification and [Engine.ViewAt] do the same.
//
// # Domains
//
// The engine knows no domain. A [Domain] is a part of the state and a list of
// its commands. Programs bring their own: see [NewDomain] and the example. To
// give them a server and a command line as well, see package program.
package swoosh
