package agent_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

// The tests of what a node does when its hub answers and does not want it.

// postsNothing lets the node look a few times, and holds it to silence.
func (r *running) postsNothing(h *hub) {
	r.t.Helper()
	posted := h.posted.Load()
	for range 3 {
		h.clock.again(r.t, 5*time.Minute)
	}
	require.Equal(r.t, posted, h.posted.Load(), "it posts nothing")
	require.False(r.t, r.State().Hub.Since.IsZero())
}

// TestDeregistered: a node that was taken out posts nothing, names the entry, and comes back
// by join alone, with its id and its hostname.
func TestDeregistered(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin(func(j *agent.Joining) { j.Hostname = "web-1" })
	r := m.up(t)
	entry := h.admin("fleet.deregister", `{"node":"n1","reason":"it moves"}`)
	r.says(fmt.Sprintf("n1 was deregistered in entry %d, because: it moves: it posts nothing more until it joins again", entry))
	require.Equal(t, fleet.Deregistered, r.State().Phase)
	r.postsNothing(h)
	r.stop()
	r = m.run(t) // A start is no join.
	r.says(fmt.Sprintf("entry %d", entry))
	r.postsNothing(h)

	joined := m.mustJoin() // While it runs.
	require.Equal(t, "n1", joined.Node)
	h.clock.fire(t, 5*time.Second)
	r.isUp()
	require.EqualValues(t, "web-1", h.node("n1").Hostname)

	left, err := agent.Leave(within(t), m.o)
	require.NoError(t, err)
	require.Equal(t, agent.Left{Node: "n1", Index: h.e.View().Index()}, left)
	r.says(fmt.Sprintf("n1 was deregistered in entry %d", left.Index))
	_, err = agent.Leave(within(t), m.o)
	require.True(t, client.IsCode(err, client.InvalidPhase), err)
	require.FileExists(t, m.file("key"))
}

// TestQuarantined: a node stops posting, and tries every five minutes.
func TestQuarantined(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	r := m.up(t)
	h.admin("policy.quarantine", `{"reason":"key leaked"}`)
	h.clock.fire(t, 5*time.Minute)
	r.says("key leaked")
	tries := h.posted.Load()
	h.clock.until(t, func() bool { return h.posted.Load() >= tries+3 })
	r.says("key leaked")
	seen := h.seen("n1")
	h.admin("policy.release", `{"approver":"Ada"}`)
	h.clock.until(t, func() bool { return h.seen("n1").Compare(seen) > 0 })
	r.is(func(s agent.State) bool { return s.Hub.Since.IsZero() })

	r.stop() // It cannot register either.
	h.admin("policy.quarantine", `{"reason":"again"}`)
	r = m.run(t)
	r.says("again")
	h.admin("policy.release", `{"approver":"Ada"}`)
	h.clock.until(t, func() bool { return r.State().Hub.Since.IsZero() })
}

// TestQuarantinedAlone: a node that is in quarantine with its owner, or alone, stops posting
// as if all were, and so does one that begins then.
func TestQuarantinedAlone(t *testing.T) {
	for _, scope := range []string{"node:n1", "owner:acme"} {
		h := newHub(t, newClock())
		m := h.machine()
		m.mustJoin()
		r := m.up(t)
		h.admin("policy.quarantine", `{"reason":"key leaked","scope":"`+scope+`"}`)
		h.clock.fire(t, 5*time.Minute)
		r.says(scope + " is QUARANTINED (key leaked)")
		tries, entries := h.posted.Load(), h.e.View().Index()
		h.clock.until(t, func() bool { return h.posted.Load() >= tries+3 })
		r.says("key leaked")
		r.stop()
		r = m.run(t)
		r.says("key leaked")
		require.Equal(t, entries, h.e.View().Index())
		h.admin("policy.release", `{"approver":"Ada","scope":"`+scope+`"}`)
		h.clock.until(t, func() bool { return r.State().Hub.Since.IsZero() })
		require.Greater(t, h.e.View().Index(), entries+1, "it has registered")
	}
}

// TestQuarantinedProject: what is about a project that is in quarantine is refused at once,
// and the node goes on.
func TestQuarantinedProject(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	r := m.up(t)
	h.admin("policy.quarantine", `{"reason":"odd","scope":"project:alpha"}`)
	_, err := r.Do(within(t), client.Command{Name: "ingestion.fail", Payload: map[string]any{"project": "alpha", "error": "x"}})
	require.True(t, client.IsCode(err, client.Quarantined), err)
	_, err = r.Do(within(t), client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n1", "tags": []string{"gpu"}}})
	require.NoError(t, err)
	require.Zero(t, r.State().Hub.Since)
	require.Empty(t, r.State().Reasons)
}

// rekey gives n1 another key, as an admin does, and returns the entry.
func (h *hub) rekey(key ed25519.PrivateKey, expires time.Time) uint64 {
	r := agent.RekeyOf("n1", string(h.node("n1").Key), key)
	payload := fmt.Sprintf(`{"node":"n1","old_key":%q,"public_key":%q,"proof":%q`, r.OldKey, r.PublicKey, r.Proof)
	if !expires.IsZero() {
		payload += fmt.Sprintf(`,"key_expires":%d`, expires.UnixMilli())
	}
	return h.admin("fleet.rotate_key", payload+"}")
}

// TestKeyReplaced: a node whose key an admin replaced posts nothing, names the entry, and
// takes the new key when it is put in its place.
func TestKeyReplaced(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	r := m.up(t)
	other, err := client.MakeKey(m.file("other"))
	require.NoError(t, err)
	entry := h.rekey(other, time.Time{})
	r.says(fmt.Sprintf("the key in %s was replaced in entry %d: put the new one in its place", m.file("key"), entry))
	r.postsNothing(h)
	require.NoError(t, os.Rename(m.file("other"), m.file("key")))
	h.clock.only(t, 5*time.Second, func() bool { return r.State().Hub.Since.IsZero() })
	require.EqualValues(t, h.node("n1").Key, r.State().Key.PublicKey)
	seen := h.seen("n1")
	h.clock.until(t, func() bool { return h.seen("n1").Compare(seen) > 0 })
	require.EqualValues(t, 1, h.last())

	_, err = client.MakeKey(m.file("strange")) // A key that the hub has never seen makes no new node.
	require.NoError(t, err)
	require.NoError(t, os.Rename(m.file("strange"), m.file("key")))
	r.stop()
	r = m.run(t)
	r.says("the hub does not know the key in " + m.file("key"))
	r.postsNothing(h)
	require.EqualValues(t, 1, h.last())
}

// TestKeyExpires: a node warns 14 days before its key expires, posts nothing after, and takes
// a new key.
func TestKeyExpires(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	expires := h.clock.Now().Add(15 * 24 * time.Hour)
	m.mustJoin(func(j *agent.Joining) { j.Expires = expires })
	r := m.up(t)
	require.Empty(t, r.State().Reasons)
	require.Equal(t, expires, r.State().Key.Expires)
	h.clock.advance(24*time.Hour + time.Minute)
	h.clock.fire(t, 5*time.Minute)
	r.says("the key expires on 2026-01-16T00:00:00Z: rotate it before")
	require.True(t, r.State().Hub.Since.IsZero())

	h.clock.advance(14 * 24 * time.Hour)
	h.clock.fire(t, 5*time.Minute)
	r.says("the key in " + m.file("key") + " expired on 2026-01-16T00:00:00Z: put another one in its place")
	r.postsNothing(h)
	other, err := client.MakeKey(m.file("other"))
	require.NoError(t, err)
	h.rekey(other, time.Time{})
	require.NoError(t, os.Rename(m.file("other"), m.file("key")))
	h.clock.until(t, func() bool { return r.State().Hub.Since.IsZero() })
	r.isUp()
	require.Empty(t, r.State().Reasons)
}

// TestRotateKey: the node takes the new key while it runs and while it rests. A rotation that
// was broken off before the hub knew of it goes on with the same key; one that the hub has is
// completed by whoever comes next.
func TestRotateKey(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	first := m.mustJoin().PublicKey
	r := m.up(t)
	rotated, err := agent.RotateKey(within(t), m.o, time.Time{})
	require.NoError(t, err)
	require.Equal(t, agent.Rotated{Node: "n1", PublicKey: string(h.node("n1").Key), Number: 2, Index: rotated.Index}, rotated)
	require.NotEqual(t, first, rotated.PublicKey)
	r.is(func(s agent.State) bool { return s.Key.PublicKey == rotated.PublicKey })
	r.isUp()
	m.hasKey(rotated.PublicKey)

	next, err := client.MakeKey(m.file("key.next")) // Killed before it was posted.
	require.NoError(t, err)
	rotated, err = agent.RotateKey(within(t), m.o, h.clock.Now().Add(90*24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, client.PublicKey(next), rotated.PublicKey)
	require.Equal(t, 3, rotated.Number)
	r.is(func(s agent.State) bool { return s.Key.PublicKey == rotated.PublicKey && !s.Key.Expires.IsZero() })
	r.stop()

	next, err = client.MakeKey(m.file("key.next")) // Killed after it was posted.
	require.NoError(t, err)
	h.rekey(next, time.Time{})
	r = m.up(t)
	m.hasKey(client.PublicKey(next))
	require.Equal(t, client.PublicKey(next), r.State().Key.PublicKey)
	r.stop()

	next, err = client.MakeKey(m.file("key.next"))
	require.NoError(t, err)
	h.rekey(next, time.Time{})
	rotated, err = agent.RotateKey(within(t), m.o, time.Time{}) // It only completes that one.
	require.NoError(t, err)
	require.Equal(t, agent.Rotated{Node: "n1", PublicKey: client.PublicKey(next), Number: 5}, rotated)

	next, err = client.MakeKey(m.file("key.next"))
	require.NoError(t, err)
	h.rekey(next, time.Time{})
	require.Equal(t, "n1", m.mustJoin().Node)
	m.hasKey(client.PublicKey(next))
	require.EqualValues(t, 1, h.last())
}

// TestRotateKeyOfANodeThatMayNotFollow: the next heartbeat, with the old key, is refused, and
// the node goes on at once with the new one.
func TestRotateKeyOfANodeThatMayNotFollow(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	h.refuse(http.StatusServiceUnavailable, client.Overloaded, func(q *http.Request) bool { return q.URL.Path == "/watch" })
	r := m.up(t)
	r.says("the hub lets no more nodes follow its log")
	rotated, err := agent.RotateKey(within(t), m.o, time.Time{})
	require.NoError(t, err)
	before := h.seen("n1")
	h.clock.fire(t, 5*time.Minute)
	require.Eventually(t, func() bool { return h.seen("n1").Compare(before) > 0 }, time.Minute, time.Millisecond)
	r.is(func(s agent.State) bool { return s.Hub.Since.IsZero() && s.Key.PublicKey == rotated.PublicKey })
}

// hasKey holds the directory to one key.
func (m *machine) hasKey(public string) {
	m.t.Helper()
	key, err := client.LoadKey(m.file("key"))
	require.NoError(m.t, err)
	require.Equal(m.t, public, client.PublicKey(key))
	require.NoFileExists(m.t, m.file("key.next"))
}

// TestElsewhere: of two programs with one key the later has the place.
func TestElsewhere(t *testing.T) {
	h := newHub(t, newClock())
	m, other := h.machine(), h.machine()
	m.mustJoin()
	require.NoError(t, os.CopyFS(other.o.Dir, os.DirFS(m.o.Dir)))
	require.NoError(t, os.Chmod(other.file("key"), 0o600))
	for _, away := range []bool{false, true} {
		r := m.up(t)
		if away { // It learns of it when the hub is back.
			h.stop()
			r.is(func(s agent.State) bool { return !s.Hub.Since.IsZero() })
			h.start()
		}
		later := other.up(t)
		h.clock.until(t, func() bool { return isClosed(r.ended) })
		require.ErrorIs(t, r.err, agent.ErrElsewhere)
		later.isUp()
		later.stop()
	}
	require.EqualValues(t, 1, h.last())
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestRestoredHub: a hub that comes back from a backup knows an earlier run of the node, which
// is no other program.
func TestRestoredHub(t *testing.T) {
	h := newHub(t, newClock())
	dir := t.TempDir()
	h.e = newEngine(t, h.clock, dir+"/data")
	h.stop()
	h.start()
	m := h.machine()
	m.mustJoin()
	require.NoError(t, h.e.Close(t.Context()))
	require.NoError(t, os.CopyFS(dir+"/backup", os.DirFS(dir+"/data")))
	h.e = newEngine(t, h.clock, dir+"/data")
	h.stop()
	h.start()
	r := m.up(t)
	h.stop()
	require.NoError(t, h.e.Close(t.Context()))
	require.NoError(t, os.Chmod(dir+"/backup", 0o700))
	h.e = newEngine(t, h.clock, dir+"/backup")
	before := h.node("n1").Session
	h.start()
	h.clock.until(t, func() bool { return isClosed(r.ended) || h.node("n1").Session != before })
	h.clock.until(t, func() bool { return isClosed(r.ended) || r.State().Hub.Since.IsZero() })
	require.False(t, isClosed(r.ended), "%v", r.err)
	require.EqualValues(t, 1, h.last())
}

// TestDiskLost: with its key a node is who it was; without, it is a new one, or it is the old
// one by the word of an admin.
func TestDiskLost(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	joined := m.mustJoin()
	require.True(t, joined.Made)
	require.NoError(t, os.Remove(m.file("hub.json")))
	err := agent.Run(within(t), m.o)
	require.ErrorContains(t, err, "hub.json is missing: no node has joined from there: join a hub first")
	joined = m.mustJoin()
	require.Equal(t, "n1", joined.Node)
	require.False(t, joined.Made)

	up := m.up(t)
	require.NoError(t, os.Remove(m.file("key")))
	_, err = m.join()
	require.ErrorContains(t, err, "a node runs in")
	require.NoFileExists(t, m.file("key"), "no key is made beside one that runs")
	up.stop()

	fresh := h.machine()
	require.Equal(t, "n2", fresh.mustJoin().Node)

	replaced := h.machine()
	_, err = replaced.join(func(j *agent.Joining) { j.As = "n9" })
	require.True(t, client.IsCode(err, client.NotFound), err)
	require.ErrorContains(t, err, "there is no node n9")
	_, err = replaced.join(func(j *agent.Joining) { j.As, j.Owner = "n1", "umbra" })
	require.ErrorContains(t, err, "n1 belongs to acme")
	asked := make(chan agent.Rekey, 1)
	done := make(chan agent.Joined, 1)
	go func() {
		joined, _ := replaced.join(func(j *agent.Joining) { j.As, j.Ask = "n1", func(r agent.Rekey) { asked <- r } })
		done <- joined
	}()
	r := <-asked
	h.admin("fleet.set_tags", `{"node":"n1","tags":["gpu"]}`)
	h.admin("fleet.rotate_key", fmt.Sprintf(`{"node":%q,"old_key":%q,"public_key":%q,"proof":%q}`, r.Node, r.OldKey, r.PublicKey, r.Proof))
	require.Equal(t, "n1", (<-done).Node)
	replaced.up(t)
	_, err = fresh.join(func(j *agent.Joining) { j.As = "n1" })
	require.ErrorContains(t, err, "the key in use is that of n2: move it away, so that n1 gets a new one")
	require.EqualValues(t, 2, h.last())
}

// TestAnotherHub: a node signs nothing for another hub at the address of its own.
func TestAnotherHub(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	joined := m.mustJoin()
	r := m.up(t)
	mine, other := h.e, newEngine(t, h.clock, "")
	h.stop()
	h.e = other
	h.admin("policy.quarantine", `{"reason":"to have a first entry"}`)
	h.admin("policy.release", `{"approver":"Ada"}`)
	h.start()
	h.clock.until(t, func() bool { return hasText(r.State().Reasons, "is another hub now") })
	r.says("the node signs nothing for it; join again if that is meant")
	r.postsNothing(h)
	_, err := agent.Leave(within(t), m.o)
	require.ErrorContains(t, err, "is another hub now")
	_, err = agent.RotateKey(within(t), m.o, time.Time{})
	require.ErrorContains(t, err, "is another hub now")
	require.EqualValues(t, 2, other.View().Index())
	h.stop()
	h.e = mine
	h.start()
	h.clock.until(t, func() bool { return r.State().Hub.Since.IsZero() })
	r.stop()

	h.stop()
	h.e = other
	h.start()
	again := m.mustJoin() // It is meant.
	require.NotEqual(t, joined.Hub, again.Hub)
	require.Equal(t, joined.PublicKey, again.PublicKey)
	m.up(t)
}

// TestOverloaded: where the hub lets no more nodes follow its log, a node reads its row with
// each heartbeat.
func TestOverloaded(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	isWatch := func(q *http.Request) bool { return q.URL.Path == "/watch" }
	h.refuse(http.StatusServiceUnavailable, client.Overloaded, isWatch)
	r := m.up(t)
	r.says("the hub lets no more nodes follow its log")
	require.True(t, r.State().Hub.Since.IsZero())
	h.admin("fleet.set_hostname", `{"node":"n1","hostname":"web-2"}`)
	h.clock.fire(t, 5*time.Minute)
	r.is(func(s agent.State) bool { return s.Hostname == "web-2" })
	h.let()
	h.clock.until(t, func() bool { return len(r.State().Reasons) == 0 })
	h.admin("fleet.set_hostname", `{"node":"n1","hostname":"web-3"}`)
	r.is(func(s agent.State) bool { return s.Hostname == "web-3" })
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(m.file("hub.json"))
		return err == nil && strings.Contains(string(raw), `"hostname": "web-3"`)
	}, time.Minute, 5*time.Millisecond)
}

// TestWatchersMost: a node cannot follow the log of a hub that lets no more, and does once
// there is room.
func TestWatchersMost(t *testing.T) {
	h := newHub(t, newClock())
	h.stop()
	h.watchers = 1
	h.start()
	m := h.machine()
	m.mustJoin()
	watch, err := http.Get("http://" + h.addr + "/watch?from=1")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, watch.StatusCode)
	r := m.up(t)
	r.says("the hub lets no more nodes follow its log")
	require.NoError(t, watch.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	h.clock.until(t, func() bool { return len(r.State().Reasons) == 0 })
	h.admin("fleet.set_hostname", `{"node":"n1","hostname":"web-2"}`)
	r.is(func(s agent.State) bool { return s.Hostname == "web-2" })
}

// TestCompacted: a node that is behind what the log keeps reads its rows again.
func TestCompacted(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	var watches atomic.Int64
	h.refuse(http.StatusGone, client.Compacted, func(q *http.Request) bool { return q.URL.Path == "/watch" && watches.Add(1) < 3 })
	r := m.up(t)
	h.admin("fleet.set_hostname", `{"node":"n1","hostname":"web-2"}`)
	r.is(func(s agent.State) bool { return s.Hostname == "web-2" && len(s.Reasons) == 0 })
}

// TestAnEarlierHeartbeatLanded: one whose answer was lost is no reason to worry.
func TestAnEarlierHeartbeatLanded(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	r := m.up(t)
	var posts atomic.Int64
	h.refuse(http.StatusConflict, client.Conflict, func(q *http.Request) bool { return q.Method == http.MethodPost && posts.Add(1) == 1 })
	seen := h.seen("n1")
	h.clock.fire(t, 5*time.Minute)
	h.clock.fire(t, 5*time.Minute)
	require.Eventually(t, func() bool { return h.seen("n1").Compare(seen) > 0 }, time.Minute, time.Millisecond)
	require.Empty(t, r.State().Reasons)
}

// TestSettle: no other key than the present one takes the place of the key, also where what
// the hub said is old by now.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	m := &machine{&hub{t: t}, agent.Options{Dir: dir}}
	first, err := client.MakeKey(m.file("key"))
	require.NoError(t, err)
	next, err := client.MakeKey(m.file("key.next"))
	require.NoError(t, err)
	require.NoError(t, agent.Settle(dir, client.PublicKey(first)))
	require.FileExists(t, m.file("key.next"))
	require.NoError(t, agent.Settle(dir, client.PublicKey(next)))
	m.hasKey(client.PublicKey(next))
	require.NoError(t, agent.Settle(dir, client.PublicKey(next)))
	m.hasKey(client.PublicKey(next))
}

// TestReapedWhileItRegisters: what an admin takes from a node that is not ACTIVE it asks for
// again.
func TestReapedWhileItRegisters(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin(func(j *agent.Joining) { j.Hostname = "web-1" })
	var registered, reaped atomic.Bool
	between := func(_ http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			registered.Store(true)
		} else if registered.Load() && q.URL.Query().Get("path") == "/fleet/nodes/n1" && !reaped.Swap(true) {
			h.reap("n1")
			h.admin("fleet.set_hostname", `{"node":"n1"}`)
		}
		return false
	}
	h.filter.Store(&between)
	r := m.run(t)
	h.clock.until(t, func() bool { return reaped.Load() && h.node("n1").Phase == fleet.Active })
	r.isUp()
	require.EqualValues(t, "web-1", h.node("n1").Hostname)
}
