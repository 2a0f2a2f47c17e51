package swoosh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

// The club knows its members' keys. Who speaks is written down by its secretary.
type (
	clubState struct {
		Members swoosh.Table[noun.ID, clubMember] `json:"members"`
	}
	clubMember struct {
		Key  noun.Text `json:"key"`
		Said uint32    `json:"said,omitzero"`
	}
	clubJoin struct {
		Member noun.ID   `json:"member"`
		Key    noun.Text `json:"key"`
	}
	clubSay struct {
		Member noun.ID `json:"member"`
	}
	clubSigners    struct{}
	secretaryState struct {
		Last noun.Text `json:"last,omitzero"`
	}
	secretaryReaction struct{}
	bouncer           struct{}
)

func (c clubJoin) Check(swoosh.View) error { return nil }
func (c clubJoin) Apply(s *clubState, _ swoosh.Stamp) {
	s.Members.Put(c.Member, clubMember{Key: c.Key})
}

// Scopes is what the bouncer looks at.
func (c clubSay) Scopes() []string { return []string{"about:" + string(c.Member)} }
func (c clubSay) Check(v swoosh.View) error {
	if by := v.Command().Signer; by != string(c.Member) {
		return swoosh.Errorf(swoosh.Forbidden, "%s speaks for %s", by, c.Member)
	}
	return nil
}
func (c clubSay) Apply(s *clubState, _ swoosh.Stamp) {
	m, _ := s.Members.Get(c.Member)
	m.Said++
	s.Members.Put(c.Member, m)
}

// Key takes who signs with a key that is its name, so that somebody can be the first.
func (clubSigners) Key(s clubState, signer string) (string, bool) {
	if len(signer) == 64 {
		return signer, true
	}
	m, ok := s.Members.Get(noun.ID(signer))
	return string(m.Key), ok
}

func (clubSigners) Admit(s clubState, by swoosh.Signed, _ swoosh.Stamp) ([]string, error) {
	if m, _ := s.Members.Get(noun.ID(by.Command.Signer)); string(m.Key) != by.Key && by.Command.Signer != by.Key {
		return nil, swoosh.Errorf(swoosh.BadSignature, "the key of %s is another one", by.Command.Signer)
	}
	return []string{"by:" + by.Command.Signer}, nil
}

func (secretaryReaction) React(s *secretaryState, v swoosh.View, _ clubSay, _ swoosh.Stamp) {
	s.Last = noun.Text(v.Command().Signer)
}

func (bouncer) Refuse(_ secretaryState, _ swoosh.View, c swoosh.Command) error {
	if strings.Join(c.Scopes, " ") == "by:rude about:rude" {
		return swoosh.Errorf(swoosh.Quarantined, "rude has to be silent")
	}
	return nil
}

var (
	club = swoosh.NewDomain("club",
		swoosh.Signers[clubSigners](),
		swoosh.On[clubJoin]("join", "Let somebody in."),
		swoosh.On[clubJoin]("enter", "Come in.", swoosh.MustSign),
		swoosh.On[clubSay]("say", "Speak.", swoosh.MustSign, swoosh.Refuses(swoosh.Forbidden)),
		swoosh.On[clubSay]("shout", "Speak, or have it done.", swoosh.MaySign.Fenced(), swoosh.Refuses(swoosh.Forbidden)))
	secretary = swoosh.NewDomain("secretary", swoosh.Gate[bouncer](), swoosh.After[secretaryReaction]())
)

func keyOf(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte((name + strings.Repeat("-", ed25519.SeedSize))[:ed25519.SeedSize]))
}

// content is what a signature is over, made without the engine's code.
func content(r swoosh.Request, hub swoosh.Hash, more map[string]any) map[string]any {
	m := map[string]any{"command": r.Command, "payload": json.RawMessage(r.Payload.([]byte)), "signer": r.Signer, "hub": hub.String()}
	if r.IdempotencyKey != "" {
		m["idempotency_key"], m["key_since"] = r.IdempotencyKey, r.KeySince.String()
	}
	if r.KeySince == (swoosh.Stamp{}) {
		delete(m, "key_since")
	}
	maps.Copy(m, more)
	return m
}

func signed(t testing.TB, r swoosh.Request, m map[string]any) swoosh.Request {
	text, err := json.Marshal(m)
	require.NoError(t, err)
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(keyOf(r.Signer), append([]byte("swoosh signed command 1\n"), text...)))
	return r
}

// clubhouse is a club in which ann and rude are.
type clubhouse struct {
	*rig
	n int
}

func newClubhouse(t testing.TB, o swoosh.Options) *clubhouse {
	c := &clubhouse{rig: newRig(t, o, club, secretary)}
	for _, name := range []string{"ann", "rude"} {
		c.must(joining(name, keyOf(name)))
	}
	return c
}

func joining(name string, key ed25519.PrivateKey) swoosh.Request {
	return swoosh.Request{Command: "club.join", Payload: clubJoin{noun.ID(name), noun.Text(hex.EncodeToString(key.Public().(ed25519.PublicKey)))}}
}

// saying is a command that name signs, with a new key.
func (c *clubhouse) saying(name string) (swoosh.Request, map[string]any) {
	c.n++
	r := swoosh.Request{
		Command: "club.say", Payload: []byte(`{"member":"` + name + `"}`), Signer: name,
		IdempotencyKey: strings.Repeat("k", c.n), KeySince: c.View().At(),
	}
	return r, content(r, c.View().Hub(), nil)
}

// TestSignedCommand: rules know who signed, live and on replay, and the entry has the
// key.
func TestSignedCommand(t *testing.T) {
	c := newClubhouse(t, swoosh.Options{Dir: t.TempDir()})
	r, m := c.saying("ann")
	result := c.must(signed(t, r, m))
	require.Equal(t, "ann", string(secretary.Of(c.View()).Last))
	x := c.entry(result.Index)
	require.Equal(t, hex.EncodeToString(keyOf("ann").Public().(ed25519.PublicKey)), x.SignerKey)
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.Equal(t, "swoosh signed command 1\n"+string(text), string(x.SignedContent(c.View().Hub(), nil)))

	r, m = c.saying("rude")
	c.refused(swoosh.Quarantined, signed(t, r, m))
	r, m = c.saying("rude")
	r.Payload = []byte(`{"member":"ann"}`)
	m["payload"] = json.RawMessage(`{"member":"ann"}`)
	c.refused(swoosh.Forbidden, signed(t, r, m))

	hash := c.View().StateHash()
	c.o.ForceReplay = true
	c.restart()
	require.Equal(t, hash, c.View().StateHash())
	require.Equal(t, "ann", string(secretary.Of(c.View()).Last))
	c.stop()
	report, err := repair.Verify(t.Context(), c.o, club, secretary)
	require.NoError(t, err)
	require.Nil(t, report.Refused)
}

// TestSignatureIsOverAll: whatever else is said with it is a bad signature.
func TestSignatureIsOverAll(t *testing.T) {
	c := newClubhouse(t, swoosh.Options{})
	for name, change := range map[string]func(*swoosh.Request){
		"command":         func(r *swoosh.Request) { r.Command = "club.shout" },
		"payload":         func(r *swoosh.Request) { r.Payload = []byte(`{"member":"rude"}`) },
		"signer":          func(r *swoosh.Request) { r.Signer = "rude" },
		"no signer":       func(r *swoosh.Request) { r.Signer = "" },
		"unknown signer":  func(r *swoosh.Request) { r.Signer = "bob" },
		"key":             func(r *swoosh.Request) { r.IdempotencyKey += "x" },
		"no key":          func(r *swoosh.Request) { r.IdempotencyKey = "" },
		"key_since":       func(r *swoosh.Request) { r.KeySince.WallMS++ },
		"no key_since":    func(r *swoosh.Request) { r.KeySince = swoosh.Stamp{} },
		"expect":          func(r *swoosh.Request) { r.Expect.Index = new(c.View().Index()) },
		"window_id":       func(r *swoosh.Request) { r.WindowID = "w" },
		"inputs_hash":     func(r *swoosh.Request) { r.InputsHash = swoosh.Hash{1} },
		"evidence":        func(r *swoosh.Request) { r.Evidence = noun.Refs{"run:1"} },
		"other signature": func(r *swoosh.Request) { r.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64)) },
		"no signature":    func(r *swoosh.Request) { r.Signature = "" },
	} {
		t.Run(name, func(t *testing.T) {
			r, m := c.saying("ann")
			r = signed(t, r, m)
			change(&r)
			c.refused(swoosh.BadSignature, r)
		})
	}
	r, m := c.saying("ann")
	r.WindowID, r.InputsHash, r.Evidence, r.Expect.Index = "w", swoosh.Hash{1}, noun.Refs{"run:1"}, new(c.View().Index())
	m["window_id"], m["inputs_hash"], m["evidence"], m["expect"] = "w", swoosh.Hash{1}.String(), []string{"run:1"}, map[string]any{"index": c.View().Index()}
	c.must(signed(t, r, m))
}

// TestSignatureIsForOneHub: not for a clone, and zeros are for what begins a log.
func TestSignatureIsForOneHub(t *testing.T) {
	c := newClubhouse(t, swoosh.Options{})
	clone := newRig(t, swoosh.Options{}, club, secretary)
	clone.must(joining("rude", keyOf("rude")))
	clone.must(joining("ann", keyOf("ann")))
	r, m := c.saying("ann")
	r = signed(t, r, m)
	clone.refused(swoosh.BadSignature, r)
	c.must(r)
	r, _ = c.saying("ann")
	c.refused(swoosh.BadSignature, signed(t, r, content(r, swoosh.Hash{}, nil)))
	r, _ = c.saying("ann")
	r.IdempotencyKey = ""
	c.refused(swoosh.BadSignature, signed(t, r, content(r, c.View().Hub(), map[string]any{"key_since": r.KeySince.String()})))
	r, _ = c.saying("ann")
	r.KeySince = swoosh.Stamp{}
	c.refused(swoosh.BadSignature, signed(t, r, content(r, c.View().Hub(), nil)))
}

// entering is a command that a new member signs with its own key.
func entering(t testing.TB, name string, key string, more map[string]any) swoosh.Request {
	r := joining(name, keyOf(name))
	join := r.Payload.(clubJoin)
	r = swoosh.Request{Command: "club.enter", Payload: []byte(`{"key":"` + string(join.Key) + `","member":"` + name + `"}`), IdempotencyKey: key}
	r.Signer = string(join.Key)
	m := content(r, swoosh.Hash{}, more)
	delete(m, "key_since")
	text, err := json.Marshal(m)
	require.NoError(t, err)
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(keyOf(name), append([]byte("swoosh signed command 1\n"), text...)))
	return r
}

// TestSignedCommandBeginsTheLog: it is for the hub zero, all of a batch, and nothing
// that comes second.
func TestSignedCommandBeginsTheLog(t *testing.T) {
	c := newRig(t, swoosh.Options{}, club, secretary)
	c.must(entering(t, "ann", "k", nil))
	c.refused(swoosh.BadSignature, entering(t, "bob", "l", nil))

	c = newRig(t, swoosh.Options{}, club, secretary)
	var all []swoosh.Request
	for i, name := range []string{"ann", "bob"} {
		r := entering(t, name, "b", map[string]any{"batch": map[string]any{"count": 2, "position": i}})
		r.IdempotencyKey = ""
		all = append(all, r)
	}
	_, err := c.SubmitBatch(t.Context(), "b", all)
	require.NoError(t, err)

	guard := new(rekeying)
	house := &clubhouse{rig: newRig(t, swoosh.Options{Guards: []swoosh.Guard{guard}}, club, secretary)}
	guard.c = house
	_, err = house.Submit(t.Context(), entering(t, "bob", "k", nil)) // ann comes in between.
	requireKind(t, swoosh.BadSignature, err)
	require.EqualValues(t, 1, house.View().Index())
}

// TestSignedBatch: nothing can be cut out of it, moved or added.
func TestSignedBatch(t *testing.T) {
	c := newClubhouse(t, swoosh.Options{})
	batch := func(key string) (all []swoosh.Request) {
		since := c.View().At()
		for i, name := range []string{"ann", "ann", ""} {
			r := swoosh.Request{Command: "club.shout", Payload: []byte(`{"member":"ann"}`), Signer: name}
			if i == 0 {
				r.KeySince = since
			}
			if name == "" {
				r = joining("eve", keyOf("eve"))
			} else {
				r = signed(t, r, content(r, c.View().Hub(), map[string]any{
					"batch": map[string]any{"count": 3, "position": i}, "idempotency_key": key, "key_since": since.String(),
				}))
			}
			all = append(all, r)
		}
		return all
	}
	send := func(key string, all ...swoosh.Request) error {
		_, err := c.SubmitBatch(context.Background(), key, all)
		return err
	}
	all := batch("b1")
	since := all[0].KeySince
	requireKind(t, swoosh.BadSignature, send("b1", all[0], all[2], all[1]))
	requireKind(t, swoosh.BadSignature, send("b1", all[0], all[1]))
	requireKind(t, swoosh.BadSignature, send("b2", all...))
	alone := all[0]
	alone.IdempotencyKey = "b1"
	c.refused(swoosh.BadSignature, alone)
	require.NoError(t, send("b1", all...))
	all[0].KeySince = since
	x := c.entry(c.View().Index() - 1)
	require.NotEmpty(t, x.SignerKey)
	require.Contains(t, string(x.SignedContent(c.View().Hub(), c.entry(x.Batch.First))), `"batch":{"count":3,"position":1}`)
}

// rekeying is a guard that gives ann another key.
type rekeying struct{ c *clubhouse }

func (*rekeying) Name() string { return "rekeying" }
func (g *rekeying) Judge(ctx context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	if r.Command != "club.join" {
		if _, err := g.c.Submit(ctx, joining("ann", keyOf("other"))); err != nil {
			return []swoosh.Verdict{{Reason: err.Error()}}
		}
	}
	return nil
}

// TestKeyIsReplacedMeanwhile: between the check of the signature and the writer.
func TestKeyIsReplacedMeanwhile(t *testing.T) {
	guard := new(rekeying)
	c := newClubhouse(t, swoosh.Options{Guards: []swoosh.Guard{guard}})
	guard.c = c
	r, m := c.saying("ann")
	_, err := c.Submit(t.Context(), signed(t, r, m))
	requireKind(t, swoosh.BadSignature, err)
	require.ErrorContains(t, err, "another one")

	before := c.View().Index()
	r, m = c.saying("ann")
	_, err = c.Submit(t.Context(), signed(t, r, m)) // With the key that ann does not have.
	requireKind(t, swoosh.BadSignature, err)
	require.Equal(t, before, c.View().Index(), "no guard is asked about it")
}

// TestWhoMaySign: a command that takes no signature, one that needs no key, and one
// whose key is known.
func TestWhoMaySign(t *testing.T) {
	c := newClubhouse(t, swoosh.Options{})
	join := joining("eve", keyOf("eve"))
	join.Signer, join.Signature = "ann", "eA=="
	c.refused(swoosh.Forbidden, join)
	join.Signature = ""
	x := c.entry(c.must(join).Index)
	require.Equal(t, "ann", x.Signer, "a claim is kept")
	require.Empty(t, x.SignerKey)

	shout := swoosh.Request{Command: "club.shout", Payload: []byte(`{"member":"ann"}`), Signer: "ann"}
	c.must(signed(t, shout, content(shout, c.View().Hub(), nil)))

	r, m := c.saying("ann")
	first := c.must(signed(t, r, m))
	r.Signature = "eA=="
	again := c.must(r)
	require.True(t, again.Duplicate)
	require.Equal(t, first.Index, again.Index)

	for _, info := range swoosh.Describe(club) {
		require.Equal(t, map[string]string{"club.join": "", "club.say": "must", "club.shout": "may", "club.enter": "must"}[info.Name], info.Signed)
	}
}

// The minutes say who signed a note, and what an Apply sees of scopes.
type (
	minutesState struct {
		By      noun.Text `json:"by,omitzero"`
		Scopes  uint32    `json:"scopes,omitzero"`
		Content noun.Text `json:"content,omitzero"`
	}
	minutesNote struct{}
)

func (minutesNote) Check(swoosh.View) error { return nil }
func (minutesNote) Scopes() []string        { return []string{"about:minutes"} }
func (minutesNote) ApplyBy(s *minutesState, by swoosh.Command, _ swoosh.Stamp) {
	s.By, s.Scopes = noun.Text(by.Signer), s.Scopes+uint32(len(by.Scopes))
	s.Content = noun.Text(by.Content().String())
}

var minutes = swoosh.NewDomain("minutes", swoosh.OnBy[minutesNote]("note", "Note who is there.", swoosh.MaySign))

// TestApplyBy sees who signed and the command's content, and no scopes: replay has none.
func TestApplyBy(t *testing.T) {
	r := newRig(t, swoosh.Options{}, club, secretary, minutes)
	r.must(joining("ann", keyOf("ann")))
	note := swoosh.Request{Command: "minutes.note", Payload: []byte(`{}`), Signer: "ann", IdempotencyKey: "1", KeySince: r.View().At()}
	r.must(signed(t, note, content(note, r.View().Hub(), nil)))
	approved := sha256.Sum256([]byte("swoosh approval 1\n" + `{"command":"minutes.note","idempotency_key":"1","key_since":"` + note.KeySince.String() + `","payload":{}}`))
	require.Equal(t, minutesState{By: "ann", Content: noun.Text(hex.EncodeToString(approved[:]))}, minutes.Of(r.View()))
	hash := r.View().StateHash()
	r.o.ForceReplay = true
	r.restart()
	require.Equal(t, hash, r.View().StateHash())
	r.must(swoosh.Request{Command: "minutes.note"})
	approved = sha256.Sum256([]byte("swoosh approval 1\n" + `{"command":"minutes.note","payload":{}}`))
	require.Equal(t, minutesState{Content: noun.Text(hex.EncodeToString(approved[:]))}, minutes.Of(r.View()))
}

// TestParseContent reads the one text that has a command's content as its hash, and no other.
func TestParseContent(t *testing.T) {
	r := newRig(t, swoosh.Options{}, club, secretary, minutes)
	r.must(joining("ann", keyOf("ann")))
	note := swoosh.Request{Command: "minutes.note", Payload: []byte(`{}`), Signer: "ann", IdempotencyKey: "k", KeySince: r.View().At()}
	r.must(signed(t, note, content(note, r.View().Hub(), nil)))
	text := `{"command":"minutes.note","idempotency_key":"k","key_since":"` + note.KeySince.String() + `","payload":{}}`
	c, err := swoosh.ParseContent(text)
	require.NoError(t, err)
	require.Equal(t, string(minutes.Of(r.View()).Content), c.Content().String())
	require.Equal(t, []any{"minutes.note", "k", note.KeySince, "{}"}, []any{c.Name, c.Key, c.KeySince, string(c.Payload())})
	deep := func(levels int) string {
		return strings.Replace(text, `{}`, strings.Repeat(`{"a":`, levels)+`1`+strings.Repeat(`}`, levels), 1)
	}
	_, err = swoosh.ParseContent(deep(64)) // As deep as a payload may be.
	require.NoError(t, err)
	for _, other := range []string{
		"", "{}", "[]", text + " ", " " + text, strings.Replace(text, `{}`, `{ }`, 1), strings.Replace(text, `"k"`, `"\u006b"`, 1),
		strings.Replace(text, `"k"`, `"k k"`, 1), strings.Replace(text, `"k"`, `""`, 1), strings.Replace(text, "minutes.note", "minutes", 1),
		strings.Replace(text, `"payload":{}`, `"payload":[]`, 1), strings.Replace(text, `,"payload":{}`, ``, 1), strings.Replace(text, `{}}`, `{},"x":1}`, 1),
		deep(65),
	} {
		_, err := swoosh.ParseContent(other)
		require.Error(t, err, other)
	}

	c, err = r.View().Resolve(c)
	require.NoError(t, err)
	require.Equal(t, []any{"minutes", []string{"about:minutes"}}, []any{c.Domain, c.Scopes})
	for changed, kind := range map[string]swoosh.Kind{
		strings.Replace(text, "minutes.note", "minutes.nod", 1): swoosh.UnknownCommand,
		strings.Replace(text, `{}`, `{"x":1}`, 1):               swoosh.InvalidPayload,
	} {
		c, err := swoosh.ParseContent(changed)
		require.NoError(t, err)
		_, err = r.View().Resolve(c)
		requireKind(t, kind, err)
	}
	require.True(t, r.View().HasCommand("club.join"))
	require.False(t, r.View().HasCommand("club.jion"))
	require.True(t, r.View().IsAbout("club.say", "about:"))
	require.False(t, r.View().IsAbout("club.say", "project:"))
	require.False(t, r.View().IsAbout("club.join", "about:"))
	require.False(t, r.View().IsAbout("club.jion", "about:"))
}

// TestVerified: the program hears of each accepted command with a signature once, and of no
// other.
func TestVerified(t *testing.T) {
	var heard []swoosh.Signed
	registry := prometheus.NewRegistry()
	c := newClubhouse(t, swoosh.Options{Metrics: registry, Verified: func(v swoosh.View, by swoosh.Signed) {
		require.Equal(t, club.Of(v).Members.Len(), 2)
		heard = append(heard, by)
	}})
	require.Empty(t, heard)
	r, m := c.saying("ann")
	good := signed(t, r, m)
	c.must(good)
	c.must(good) // a duplicate
	r.Payload, m["payload"] = []byte(`{"member":"rude"}`), json.RawMessage(`{"member":"rude"}`)
	_, err := c.Submit(t.Context(), signed(t, r, m))
	require.Error(t, err)
	good.Payload = []byte(`{"member":"nobody"}`)
	_, err = c.Submit(t.Context(), good)
	require.Error(t, err)
	_, err = c.Submit(t.Context(), swoosh.Request{Command: "club.say", Payload: []byte(`{"member":"ann"}`), Signer: "ann"})
	require.Error(t, err)
	require.Len(t, heard, 1)
	require.Equal(t, 3.0, figure(t, registry, "swoosh_signatures_total", "good"))
	require.Equal(t, 1.0, figure(t, registry, "swoosh_signatures_total", "bad"))
	require.Equal(t, 4.0, figure(t, registry, "swoosh_signature_seconds"))
	for _, by := range heard {
		require.Equal(t, []string{"club.say", "ann", hex.EncodeToString(keyOf("ann").Public().(ed25519.PublicKey))}, []string{by.Command.Name, by.Command.Signer, by.Key})
	}
}
