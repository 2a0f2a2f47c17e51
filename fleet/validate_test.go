package fleet_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// lived is a fleet in which everything occurs: three nodes, of which n1 had two keys and
// n3 is out, trust, an ask, and a network with two members and an invitation.
func lived(t *testing.T) *swoosh.Engine {
	e, _ := open(t)
	do := func(command, payload string) {
		_, err := e.Submit(t.Context(), swoosh.Request{Command: command, Payload: []byte(payload)})
		require.NoError(t, err, "%s %s", command, payload)
	}
	for n, name := range []string{"n1", "n2", "n3", "n4"} {
		request := swoosh.Request{Command: "fleet.register", IdempotencyKey: name, Payload: []byte(`{"hostname":"web-` + name[1:] + `","owner":"acme","public_key":"` + swooshtest.PublicKey(name) + `","session":"session-1"}`)}
		if n > 0 {
			request.KeySince = e.View().At()
		}
		_, err := e.Submit(t.Context(), swooshtest.Sign(t, e, swooshtest.Key(name), swooshtest.PublicKey(name), request))
		require.NoError(t, err)
	}
	m := &model{nodes: []*machine{{keys: []string{"n1"}}}}
	do("fleet.rotate_key", string(m.payload(word{command: "fleet.rotate_key", n: 1, new: "n1b"})))
	do("fleet.deregister", `{"node":"n3"}`)
	do("trust.give", `{"node":"n1","peer":"n2"}`)
	do("network.create", `{"network":"build","name":"Build","owner":"n1","join":"token","join_key":"`+swooshtest.PublicKey("token")+`"}`)
	do("network.join", `{"network":"build","node":"n2"}`)
	do("network.invite", `{"network":"build","node":"n4"}`)
	give := swoosh.Request{Command: "trust.give", IdempotencyKey: "ask", KeySince: e.View().At(), Payload: []byte(`{"node":"n2","peer":"n4"}`)}
	_, err := e.Submit(t.Context(), swooshtest.Sign(t, e, swooshtest.Key("n2"), "n2", give))
	require.NoError(t, err)
	return e
}

// stateHash is the member of a document's meta that a change would contradict.
var stateHash = regexp.MustCompile(`,"state_hash":"[0-9a-f]{64}"`)

// TestValidate spoils a state in one place, and requires that an import names the place.
func TestValidate(t *testing.T) {
	e := lived(t)
	var doc bytes.Buffer
	_, err := e.View().WriteTo(&doc)
	require.NoError(t, err)
	content := stateHash.ReplaceAllString(doc.String(), "")
	key, old, token := swooshtest.PublicKey("n1b"), swooshtest.PublicKey("n1"), swooshtest.PublicKey("token")
	for _, tc := range []struct{ old, new, pointer string }{
		{`"last":4`, `"last":3`, "/nodes/n4"},
		{`"phase":"DEREGISTERED"`, `"phase":"ABSENT"`, "/nodes/n3/phase"},
		{`"phase":"DEREGISTERED"`, `"phase":"ACTIVE"`, "/nodes/n3"},
		{`"key":"` + key + `","keys":2`, `"key":"` + old + `","keys":2`, "/nodes/n1/key"},
		{`"key":"` + key + `","keys":2`, `"key":"` + key + `","keys":1`, "/nodes/n1/key"},
		{`"keys":2`, `"keys":1001`, "/nodes/n1/keys"},
		{`"number":2`, `"number":3`, "/nodes/n1/key"},
		{`"hostname":"web-2",`, ``, "/hostnames"},
		{`"web-2":{"node":"n2"}`, `"web-2":{"node":"n4"}`, "/nodes/n2/hostname"},
		{`"seen":{"n1":{`, `"seen":{"n9":{`, "/nodes/n1"},
		{`"n1.n2":{"since"`, `"n1.n9":{"since"`, "/trust/n1.n9"},
		{`"n4.n2":{"at"`, `"n4.n9":{"at"`, "/asks/n4.n9"},
		{`"n4.n2":{"at"`, `"n2.n1":{"at"`, "/asks/n2.n1"},
		{`"members":2`, `"members":3`, "/networks/build/members"},
		{`"max_members":10000`, `"max_members":1`, "/networks/build/max_members"},
		{`"max_members":10000`, `"max_members":1000001`, "/networks/build/max_members"},
		{`"join_key":"` + token + `",`, ``, "/networks/build/join_key"},
		{`"join":"token"`, `"join":"open"`, "/networks/build/join_key"},
		{`"owner":"n1"`, `"owner":"n2"`, "/members/build.n1/role"},
		{`"role":"owner"`, `"role":"member"`, "/members/build.n1/role"},
		{`"build.n2":{`, `"build.n9":{`, "/members/build.n9"},
		{`"n4.build":{"expires"`, `"n2.build":{"expires"`, "/invites/n2.build"},
		{`"n4.build":{"expires"`, `"n4.other":{"expires"`, "/invites/n4.other"},
		{`"name":"Build",`, ``, "/networks/build/name"},
		{`"session":"session-1",`, ``, "/nodes/n1/session"},
		{`"owner":"acme",`, ``, "/nodes/n1/owner"},
	} {
		require.Contains(t, content, tc.old)
		spoilt := strings.Replace(content, tc.old, tc.new, 1)
		hash := e.View().StateHash()
		_, err := e.Import(t.Context(), &hash, strings.NewReader(spoilt))
		var refused *swoosh.Error
		require.True(t, errors.As(err, &refused), "%s is taken as %s", tc.new, tc.old)
		require.Equal(t, swoosh.InvalidState, refused.Kind, "%v", err)
		var pointers []string
		for _, f := range refused.Errors {
			pointers = append(pointers, strings.TrimPrefix(f.Pointer, "/fleet"))
		}
		require.Contains(t, pointers, tc.pointer, "%s", tc.new)
	}
	hash := e.View().StateHash()
	_, err = e.Import(t.Context(), &hash, strings.NewReader(content))
	require.NoError(t, err)
}

// TestChart compares the declarations with the hand-written table.
func TestChart(t *testing.T) {
	swooshtest.RequireChart(t, swooshtest.ReadChart(t, "testdata/chart.txt"), fleet.Domain)
}
