package system_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// model is what the rules of policy, control and window come to, without their code.
type model struct {
	now           int64
	whole, paused bool
	scopes        map[string]string // reasons
	used          bool
	windows       map[string][2]int64
}

// word is a command as a test says it.
type word struct {
	command, scope, reason, window string
	opens, closes                  int64
	within                         string // window_id of the envelope
}

// allowed returns the code of the refusal that the rules ask for; empty: none.
func (m *model) allowed(w word) string {
	_, stopped := m.scopes[w.scope]
	region, _, _ := strings.Cut(w.command, ".")
	switch {
	case w.command == "window.open" && w.opens >= w.closes:
		return "invalid_payload"
	case m.whole && w.command != "policy.release":
		return "quarantined"
	case stopped && w.command == "work.do_for":
		return "quarantined"
	case m.paused && (region == "work" || region == "window"):
		return "paused"
	}
	if at, ok := m.windows[w.within]; m.used && w.within != "" && (!ok || m.now < at[0] || m.now >= at[1]) {
		return "window_closed"
	}
	_, known := m.windows[w.window]
	switch w.command {
	case "policy.quarantine":
		if w.scope == "" && m.whole || stopped {
			return "invalid_phase"
		}
	case "policy.release":
		if w.scope == "" && !m.whole || w.scope != "" && !stopped {
			return "invalid_phase"
		}
	case "window.open":
		if w.closes <= m.now {
			return "conflict"
		}
	case "window.close":
		if !known {
			return "not_found"
		}
	}
	return ""
}

func (m *model) do(w word) {
	switch w.command {
	case "policy.quarantine":
		if w.scope == "" {
			m.whole = true
		} else {
			m.scopes[w.scope] = w.reason
		}
	case "policy.release":
		if w.scope == "" {
			m.whole = false
		} else {
			delete(m.scopes, w.scope)
		}
	case "control.pause":
		m.paused = true
	case "control.resume":
		m.paused = false
	case "window.open":
		at := [2]int64{w.opens, w.closes}
		if m.windows[w.window] != at { // There are fewer than ten, so all that are past go.
			maps.DeleteFunc(m.windows, func(_ string, at [2]int64) bool { return at[1] <= m.now })
		}
		m.used, m.windows[w.window] = true, at
	case "window.close":
		delete(m.windows, w.window)
	}
}

func (w word) payload() []byte {
	p := map[string]any{}
	switch w.command {
	case "policy.quarantine", "control.pause":
		p["reason"] = w.reason
	case "policy.release":
		p["approver"] = "Ann"
	case "window.open":
		p["window"], p["opens"], p["closes"] = w.window, w.opens, w.closes
	case "window.close":
		p["window"] = w.window
	}
	if w.scope != "" {
		p["scope"] = w.scope
	}
	b, _ := json.Marshal(p)
	return b
}

func (m *model) draw(r *rapid.T) word {
	from := func(name string, all ...string) string { return rapid.SampledFrom(all).Draw(r, name) }
	minutes := func(name string, least, most int) int64 {
		return m.now + int64(rapid.IntRange(least, most).Draw(r, name))*time.Minute.Milliseconds()
	}
	w := word{
		command: from("command", "work.do", "work.do_for", "work.do_for", "policy.quarantine", "policy.quarantine", "policy.release", "policy.release",
			"control.pause", "control.resume", "control.resume", "window.open", "window.open", "window.close"),
		reason: from("reason", "", "odd"), window: from("window", "v", "w", "x"),
		opens: minutes("opens", -2, 2), closes: minutes("closes", -1, 3),
		within: from("within", "", "", "", "v", "w", "y"),
	}
	switch w.command {
	case "work.do_for":
		w.scope = from("scope", "node:n1", "owner:acme", "project:alpha")
	case "policy.quarantine", "policy.release":
		w.scope = from("scope", "", "node:n1", "owner:acme", "project:alpha")
	}
	return w
}

// TestHistories holds random histories against the model. The engine in memory replays
// each of them.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		clock := swooshtest.NewClock(firstMS)
		e := swooshtest.Open(t, swoosh.Options{Now: clock.Now}, append(system.Parts(), work)...)
		m := &model{now: clock.Now(), scopes: map[string]string{}, windows: map[string][2]int64{}}
		for range rapid.IntRange(1, 40).Draw(r, "commands") {
			clock.Advance(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(r, "later")) * time.Minute)
			m.now = clock.Now()
			w := m.draw(r)
			want := m.allowed(w)
			_, err := e.Submit(t.Context(), swoosh.Request{Command: w.command, Payload: w.payload(), WindowID: w.within})
			require.Equal(r, want, codeOf(t, err), "%+v: %v", w, err)
			if err == nil {
				m.do(w)
			}
			m.requireSame(r, e.View())
		}
	})
}

func (m *model) requireSame(r *rapid.T, v swoosh.View) {
	policy, windows := system.Policy.Of(v), system.Window.Of(v)
	require.Equal(r, m.whole, policy.Phase == system.Quarantined)
	require.Equal(r, m.paused, system.Control.Of(v).Phase == system.Paused)
	require.Equal(r, m.used, windows.Used)
	scopes, spans := map[string]string{}, map[string][2]int64{}
	for scope, stop := range policy.Scopes.All() {
		scopes[string(scope)] = string(stop.Reason)
	}
	for id, w := range windows.Windows.All() {
		spans[string(id)] = [2]int64{int64(w.Opens), int64(w.Closes)}
	}
	require.Equal(r, m.scopes, scopes)
	require.Equal(r, m.windows, spans)
	for _, id := range []string{"v", "w", "y"} {
		at, ok := m.windows[id]
		require.Equal(r, ok && at[0] <= m.now && m.now < at[1], windows.IsOpen(id, swoosh.Stamp{WallMS: uint64(m.now)}), fmt.Sprint(id, at))
	}
}
