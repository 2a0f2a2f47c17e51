package pilot

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

const now = 1_800_000_000_000

// private returns the key of a name.
func private(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// key returns a public key as Pilot writes it.
func key(name string) string {
	return base64.StdEncoding.EncodeToString(private(name).Public().(ed25519.PublicKey))
}

// ours returns the same key as the fleet writes it.
func ours(name string) fleet.PublicKey {
	return fleet.PublicKey(hex.EncodeToString(private(name).Public().(ed25519.PublicKey)))
}

// snapshot makes a snapshot of version 0 from the members of an object, in which k(a) is
// the key of a.
func snapshot(members string) []byte { return []byte("{" + keyed(members) + "}") }

func keyed(text string) string {
	for {
		before, rest, found := strings.Cut(text, "k(")
		if !found {
			return text
		}
		name, after, _ := strings.Cut(rest, ")")
		text = before + `"` + key(name) + `"` + after
	}
}

// sealed adds version and checksum, as a writer does that hashes what it wrote before.
func sealed(file []byte, checksumFirst bool) []byte {
	file = append([]byte(`{"version":1,`), file[1:]...)
	sum := sha256.Sum256(file)
	member := fmt.Sprintf(`"checksum":"%x"`, sum)
	if checksumFirst {
		return append([]byte("{"+member+","), file[1:]...)
	}
	return append(append(bytes.Clone(file[:len(file)-1]), ","+member...), '}')
}

// log makes a log of records.
func log(records ...string) (all []byte) {
	for _, r := range records {
		r = keyed(r)
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(r))), r...)
	}
	return all
}

// rec is a record of a type about these members.
func rec(kind, data string) string {
	return fmt.Sprintf(`{"type":%q,"seq_no":0,"timestamp":"2026-02-01T00:00:00Z","data":{%s}}`, kind, data)
}

// imported converts files, imports the result into an engine, and returns its state.
func imported(t *testing.T, o Options, snapshot, log []byte) (fleet.State, Report) {
	t.Helper()
	o.NowMS = now
	member, r, err := Convert(snapshot, log, o)
	require.NoError(t, err)
	e := swooshtest.Open(t, swoosh.Options{}, fleet.Domain)
	_, err = e.Import(t.Context(), nil, strings.NewReader(`{"meta":{"version":1},"fleet":`+string(member)+`}`))
	require.NoError(t, err, string(member))
	return fleet.Domain.Of(e.View()), r
}

// notes returns what the report says of one thing.
func (r Report) of(what string) []string {
	for _, n := range r.Notes {
		if n.What == what {
			return n.Names
		}
	}
	return nil
}

const twoNodes = `"next_node":3,"nodes":{
	"1":{"public_key":k(a),"owner":"acme","hostname":"web-1","real_addr":"10.0.0.1:4000","registered_at":"2026-01-01T00:00:00Z","last_seen":"2026-01-02T00:00:00Z"},
	"2":{"public_key":k(b),"owner":"acme","last_seen":"2026-01-03T00:00:00Z"}}`

func TestNodes(t *testing.T) {
	s, r := imported(t, Options{}, snapshot(`"saved_at":"2026-01-05T00:00:00Z","next_node":9,"nodes":{
		"1":{"public_key":k(a),"owner":"acme","hostname":"web-1","real_addr":"10.0.0.1:4000","lan_addrs":["192.168.0.1:1","192.168.0.1:1"],"version":"1.2.0","external_id":"x-1",
			"relay_only":true,"public":true,"task_exec":true,"tags":["gpu","arm"],"registered_at":"2026-01-01T00:00:00Z","last_seen":"2026-01-02T00:00:00Z","key_expires_at":"2027-01-01T00:00:00Z"},
		"7":{"public_key":"`+string(ours("b"))+`","owner":"umbra","last_seen":"2099-01-01T00:00:00Z"}},
		"pub_key_idx":{k(a):1,k(c):4,k(old):7}`), nil)
	require.EqualValues(t, 8, s.Last)
	n, _ := s.Nodes.Get("n1")
	at := func(ms uint64) swoosh.Stamp { return swoosh.Stamp{WallMS: ms, Node: "pilot"} }
	require.Equal(t, fleet.Node{
		Phase: fleet.Active, Owner: "acme", Hostname: "web-1", Addresses: fleet.Addresses{"10.0.0.1:4000"}, LANAddresses: fleet.Addresses{"192.168.0.1:1"},
		Version: "1.2.0", ExternalID: "x-1", RelayOnly: true, Public: true, TaskExec: true, Tags: fleet.Tags{"gpu", "arm"},
		Key: ours("a"), Keys: 1, KeyExpires: 1_798_761_600_000, Session: session, Registered: at(1_767_225_600_000), Since: at(1_767_312_000_000),
	}, n)
	seen, _ := s.Seen.Get("n1")
	require.Equal(t, "019b7c010400-0000-pilot", seen.At.String())
	seen, _ = s.Seen.Get("n7")
	require.EqualValues(t, now, seen.At.WallMS, "no time is after the import")
	n, _ = s.Nodes.Get("n7")
	require.Equal(t, ours("b"), n.Key)
	require.EqualValues(t, 2, n.Keys)
	k, _ := s.Keys.Get(ours("old"))
	require.Equal(t, fleet.NodeID("n7"), k.Node)
	require.False(t, k.Until.IsZero(), "the index knows a key that was replaced")

	n, _ = s.Nodes.Get("n4")
	require.Equal(t, fleet.Reaped, n.Phase, "a key without a node keeps its id")
	require.EqualValues(t, unowned, n.Owner)
	require.Equal(t, ours("c"), n.Key)
	require.Equal(t, []string{"n4"}, r.of(keptIDs))
	require.Equal(t, []string{"n4: unowned"}, r.of(noOwner))
	require.Equal(t, []int{3, 4}, []int{r.Nodes, r.Keys})
	require.False(t, r.Checked)

	s, _ = imported(t, Options{}, snapshot(`"next_node":2,"nodes":{"5":{"public_key":k(a),"owner":"acme"}}`), nil)
	require.EqualValues(t, 5, s.Last, "or the greatest id")
	s, _ = imported(t, Options{}, snapshot(`"nodes":{"5":{"owner":"acme"}},"pub_key_idx":{k(a):5,k(b):8}`), nil)
	require.EqualValues(t, 8, s.Last)
	n, _ = s.Nodes.Get("n5")
	require.Equal(t, ours("a"), n.Key, "a node whose key stands in the index alone")
}

// TestAKnownKeyGetsItsID after the import, from any phase, and a new one the next.
func TestAKnownKeyGetsItsID(t *testing.T) {
	member, _, err := Convert(snapshot(`"next_node":9,"nodes":{"3":{"public_key":k(a),"owner":"acme"}},"pub_key_idx":{k(b):5}`),
		log(rec("deregister", `"node_id":3`)), Options{NowMS: now, Owners: map[string]string{"": "acme"}})
	require.NoError(t, err)
	e := swooshtest.Open(t, swoosh.Options{}, fleet.Domain)
	_, err = e.Import(t.Context(), nil, strings.NewReader(`{"meta":{"version":1},"fleet":`+string(member)+`}`))
	require.NoError(t, err)
	for i, name := range []string{"a", "b", "new"} {
		public := string(ours(name))
		r := swoosh.Request{Command: "fleet.register", Payload: fmt.Appendf(nil, `{"public_key":%q,"owner":"acme","session":"session-1"}`, public), IdempotencyKey: name, KeySince: e.View().At()}
		_, err := e.Submit(t.Context(), swooshtest.Sign(t, e, private(name), public, r))
		require.NoError(t, err)
		k, _ := fleet.Domain.Of(e.View()).Keys.Get(ours(name))
		require.Equal(t, fleet.NodeID([]string{"n3", "n5", "n9"}[i]), k.Node)
	}
}

func TestVersionsAndChecksums(t *testing.T) {
	plain := snapshot(twoNodes)
	_, r := imported(t, Options{}, plain, nil)
	require.Equal(t, []any{0, false}, []any{r.Version, r.Checked}, "unchecked")
	indented := func(file []byte) []byte {
		return []byte(strings.NewReplacer(`{"version"`, "{\n  \"version\"", `,"checksum":"`, ",\n  \"checksum\": \"", `,"next_node"`, ",\n  \"next_node\"").Replace(string(file)))
	}
	for _, file := range [][]byte{sealed(plain, false), sealed(plain, true)} {
		_, r = imported(t, Options{}, file, nil)
		require.Equal(t, []any{1, true}, []any{r.Version, r.Checked})
		altered := bytes.Replace(file, []byte("web-1"), []byte("web-2"), 1)
		_, _, err := Convert(altered, nil, Options{})
		require.ErrorContains(t, err, "it was altered or is damaged, take another copy")
		_, _, err = Convert(bytes.Replace(file, []byte(`"nodes":`), []byte(`"nodes": `), 1), nil, Options{})
		require.ErrorContains(t, err, "it was altered", "the bytes count, not what they mean")
	}
	// A writer that indents hashes what it writes.
	pretty := indented(append([]byte(`{"version":1,`), plain[1:]...))
	sum := sha256.Sum256(pretty)
	_, r = imported(t, Options{}, append(append(bytes.Clone(pretty[:len(pretty)-1]), fmt.Sprintf(",\n  \"checksum\": \"%x\"", sum)...), '}'), nil)
	require.True(t, r.Checked)

	// Pilot escapes <, > and &; the checksum is of the bytes as it wrote them.
	escaped := sealed(snapshot(strings.Replace(twoNodes, `"acme"`, `"a\u003cb\u003e\u0026c"`, 2)), false)
	s, r := imported(t, Options{}, escaped, nil)
	require.True(t, r.Checked)
	n, _ := s.Nodes.Get("n1")
	require.EqualValues(t, "a-b--c", n.Owner)
	require.Equal(t, []string{"a<b>&c: a-b--c"}, r.of(madeOwners))

	for file, says := range map[string]string{
		`{"version":2}`:                  "the snapshot has version 2, and this program reads 0 and 1: use a newer one",
		`{"version":-1}`:                 "the snapshot has version -1",
		`{"version":1}`:                  "has version 1 and no member checksum",
		`{"version":1,"checksum":""}`:    "it was altered",
		`hello`:                          "the snapshot is not JSON",
		`[]`:                             "the snapshot is no JSON object",
		` null`:                          "the snapshot is no JSON object",
		``:                               "the snapshot is not JSON",
		`{"nodes":[]}`:                   "the snapshot is not as this program knows it",
		`{"nodes":{"1":{"tags":"gpu"}}}`: "the snapshot is not as this program knows it",
		`{"nodes":{},"nodes":{}}`:        "duplicate",
		`{"saved_at":"yesterday"}`:       `"yesterday" is not a time`,
		`{"nodes":{"n1":{}}}`:            "the snapshot is not as this program knows it",
		`{"nodes":{"4294967296":{}}}`:    "the snapshot is not as this program knows it",
	} {
		_, _, err := Convert([]byte(file), nil, Options{})
		require.ErrorContains(t, err, says, file)
	}
}

func TestOneKeyWithTwoIDs(t *testing.T) {
	for _, file := range []string{
		`"nodes":{"1":{"public_key":k(a)},"2":{"public_key":k(a)}}`,
		`"nodes":{"1":{"public_key":k(a)}},"pub_key_idx":{k(a):2}`,
		`"nodes":{"1":{"public_key":k(b)},"2":{"public_key":k(c)}},"pub_key_idx":{k(b):2}`,
	} {
		_, _, err := Convert(snapshot(file), nil, Options{})
		require.ErrorContains(t, err, "is that of n1 and of n2, and a key has one id: take one of them out of the files", file)
	}
	for _, r := range []string{rec("register", `"node_id":9,"public_key":k(a)`), rec("rotate_key", `"node_id":2,"new_public_key":k(a)`)} {
		_, _, err := Convert(snapshot(twoNodes), log(r), Options{})
		require.ErrorContains(t, err, "the key "+string(ours("a"))[:12]+"… is that of n1 and of n", r)
	}
}

func TestLog(t *testing.T) {
	s, r := imported(t, Options{}, snapshot(twoNodes+`,"trust_pairs":["1:2"],"networks":{"1":{"name":"build","join_rule":"open","members":[1],"member_roles":{"1":"owner"}}}`), log(
		rec("register", `"node_id":3,"public_key":k(c),"owner":"umbra","hostname":"db"`),
		rec("heartbeat", `"node_id":1`),
		rec("set_hostname", `"node_id":1,"hostname":"edge"`),
		rec("set_tags", `"node_id":2,"tags":["gpu"]`),
		rec("set_visibility", `"node_id":2,"public":true`),
		rec("set_task_exec", `"node_id":2,"task_exec":true`),
		rec("rotate_key", `"node_id":1,"new_public_key":k(a2)`),
		rec("trust_add", `"node_id":3,"peer_id":2`),
		rec("trust_revoke", `"node_id":2,"peer_id":1`),
		rec("network_create", `"network_id":2,"name":"old","join_rule":"invite","node_id":3`),
		rec("network_create", `"network_id":3,"name":"new","join_rule":"invite","node_id":3`),
		rec("network_join", `"network_id":1,"node_id":2`),
		rec("network_join", `"network_id":1,"node_id":3`),
		rec("network_leave", `"network_id":1,"node_id":3`),
		rec("network_delete", `"network_id":2`),
		rec("deregister", `"node_id":3`),
	))
	require.Equal(t, 16, r.Records)
	require.Empty(t, r.Notes)
	require.EqualValues(t, 3, s.Last)
	n, _ := s.Nodes.Get("n3")
	require.Equal(t, []any{fleet.Deregistered, ours("c"), fleet.Hostname("")}, []any{n.Phase, n.Key, n.Hostname}, "its key and its id stay")
	_, seen := s.Seen.Get("n3")
	require.False(t, seen)
	n, _ = s.Nodes.Get("n1")
	require.Equal(t, []any{fleet.Hostname("edge"), ours("a2"), uint32(2)}, []any{n.Hostname, n.Key, n.Keys})
	at, _ := s.Seen.Get("n1")
	require.EqualValues(t, 1_769_904_000_000, at.At.WallMS)
	k, _ := s.Keys.Get(ours("a"))
	require.Equal(t, []any{uint32(1), uint64(1_769_904_000_000)}, []any{k.Number, k.Until.WallMS})
	n, _ = s.Nodes.Get("n2")
	require.Equal(t, []any{fleet.Tags{"gpu"}, true, true}, []any{n.Tags, n.Public, n.TaskExec})
	_, trusted := s.Trust.Get("n1.n2")
	require.False(t, trusted)
	_, trusted = s.Trust.Get("n2.n3")
	require.True(t, trusted)
	net, _ := s.Networks.Get("build")
	require.EqualValues(t, 2, net.Members)
	net, _ = s.Networks.Get("old")
	require.Equal(t, fleet.NetworkDeleted, net.Phase)
	net, _ = s.Networks.Get("new")
	require.Equal(t, fleet.NodeID("n3"), net.Owner)
}

// TestTheSnapshotHasItAlready: what the log says again counts once.
func TestTheSnapshotHasItAlready(t *testing.T) {
	file := snapshot(`"next_node":3,"nodes":{"1":{"public_key":k(c),"owner":"acme"},"2":{"public_key":k(x),"owner":"acme"}},"trust_pairs":["1:2"],
		"networks":{"1":{"name":"build","join_rule":"open","members":[1,2],"member_roles":{"1":"owner","2":"admin"}}}`)
	again := log(
		rec("register", `"node_id":2,"public_key":k(x),"owner":"acme"`),
		rec("rotate_key", `"node_id":1,"new_public_key":k(b)`),
		rec("rotate_key", `"node_id":1,"new_public_key":k(c)`),
		rec("trust_add", `"node_id":2,"peer_id":1`),
		rec("network_create", `"network_id":1,"name":"build","join_rule":"open","node_id":1`),
		rec("network_join", `"network_id":1,"node_id":2`))
	s, r := imported(t, Options{}, file, append(again, again...))
	n, _ := s.Nodes.Get("n1")
	require.Equal(t, []any{ours("c"), uint32(2)}, []any{n.Key, n.Keys}, "b was its key, and c is")
	n, _ = s.Nodes.Get("n2")
	require.EqualValues(t, 1, n.Keys)
	net, _ := s.Networks.Get("build")
	require.EqualValues(t, 2, net.Members)
	m, _ := s.Members.Get("build.n2")
	require.Equal(t, fleet.RoleAdmin, m.Role)
	require.Equal(t, []int{2, 1, 12}, []int{r.Members, r.Trust, r.Records})
}

func TestRecordsThatAreRefused(t *testing.T) {
	good := rec("heartbeat", `"node_id":1`)
	for name, test := range map[string]struct {
		log  []byte
		says string
	}{
		"no JSON":          {log(good, "hello"), "the record at byte 91 of the log is not as this program knows it"},
		"JSON and more":    {log("{} {}"), "the record at byte 0 of the log is not as this program knows it"},
		"length 0":         {log(good, ""), "the record at byte 91 of the log has 0 bytes, and must have 1 to 1048576"},
		"over 1 MiB":       {log(rec("heartbeat", `"node_id":1,"owner":"`+strings.Repeat("x", 1<<20)+`"`)), "the record at byte 0 of the log has 10"},
		"over 1 MiB, torn": {[]byte{0, 0x10, 0, 1, '{'}, "has 1048577 bytes"},
		"unknown type":     {log(good, rec("dance", "")), `the record at byte 91 of the log is of the type "dance", which this program does not know: --skip-unknown leaves such records out`},
		"other data":       {log(`{"type":"heartbeat","data":[]}`), "the heartbeat at byte 0 of the log is not as this program knows it"},
	} {
		_, _, err := Convert(snapshot(twoNodes), test.log, Options{})
		require.ErrorContains(t, err, test.says, name)
	}
	_, _, err := Convert(snapshot(twoNodes), log(good, "", good), Options{SkipUnknown: true})
	require.Error(t, err, "only an unknown type is skipped")
	_, r := imported(t, Options{SkipUnknown: true}, snapshot(twoNodes), log(good, `{"type":"dance","data":[1]}`, rec("dance", ""), good))
	require.Equal(t, []string{"dance at byte 91", "dance at byte 122"}, r.of(skipped))
	require.Equal(t, 4, r.Records)
}

// TestTornRecord: the last record may be cut off anywhere.
func TestTornRecord(t *testing.T) {
	whole := log(rec("set_hostname", `"node_id":1,"hostname":"edge"`))
	last := log(rec("set_hostname", `"node_id":1,"hostname":"lost"`))
	for cut := range last {
		member, r, err := Convert(snapshot(twoNodes), append(bytes.Clone(whole), last[:cut]...), Options{NowMS: now})
		require.NoError(t, err)
		require.Equal(t, []int{1, cut}, []int{r.Records, r.Torn})
		require.Contains(t, string(member), `"edge"`)
	}
}

func TestOwners(t *testing.T) {
	file := snapshot(`"nodes":{"1":{"public_key":k(a),"owner":"Acme"},"2":{"public_key":k(b),"owner":"acme"},"3":{"public_key":k(c),"owner":"Ops Team <ops@x.org>"},"4":{"public_key":k(d)}}`)
	_, _, err := Convert(file, nil, Options{NowMS: now})
	require.ErrorContains(t, err, `the owners "Acme" and "acme" would both be acme: say what they are with --owner acme=ID`)
	owners := func(o map[string]string) (all []string) {
		s, r := imported(t, Options{Owners: o}, file, nil)
		for _, n := range s.Nodes.All() {
			all = append(all, string(n.Owner))
		}
		require.Contains(t, r.of(madeOwners), "Ops Team <ops@x.org>: ops-team--ops-x-org")
		return all
	}
	require.Equal(t, []string{"acme-2", "acme", "ops-team--ops-x-org", "unowned"}, owners(map[string]string{"Acme": "acme-2"}))
	require.Equal(t, []string{"acme", "acme", "ops-team--ops-x-org", "umbra"}, owners(map[string]string{"Acme": "acme", "": "umbra"}), "who says so makes them one")
	for old, says := range map[string]string{"Umbra": `--owner names the owner "Umbra", whom no node has: check its spelling`, "acme": `--owner gives "acme" the id "A B": it must`} {
		_, _, err := Convert(file, nil, Options{Owners: map[string]string{old: "A B"}})
		require.ErrorContains(t, err, says)
	}
}

// TestOutOfForm: what has another form here is left out or changed, and named.
func TestOutOfForm(t *testing.T) {
	s, r := imported(t, Options{}, snapshot(`"nodes":{
		"0":{"public_key":k(zero),"owner":"a"},
		"1":{"public_key":k(a),"owner":"a","hostname":"My Host","real_addr":"1.1.1.1 x","version":"`+strings.Repeat("1", 65)+`","tags":["#gpu","gpu","GPU","t1","t2","t3","t4","t5","t6","t7","t8","t9","t10"]},
		"2":{"public_key":k(b),"owner":"a","hostname":"web"},
		"3":{"public_key":k(c),"owner":"a","hostname":"web"},
		"4":{"public_key":k(d),"owner":"a","hostname":"n7"},
		"5":{"public_key":"AAAA","owner":"a"},
		"6":{"public_key":"`+strings.Repeat("0", 64)+`","owner":"a"},
		"7":{"owner":"a"}},
		"pub_key_idx":{"nonsense":8},"trust_pairs":["1:5","1:2","x","2:2","1:2:3","01:2"," 1:2"]`), nil)
	require.Equal(t, 4, s.Nodes.Len())
	require.Equal(t, []string{"n5: AAAA", "n6: " + strings.Repeat("0", 64), "n8: nonsense in pub_key_idx", "n0", "n7"}, r.of(noKey))
	require.Equal(t, []string{"n1: My Host", "n4: n7"}, r.of(badHostnames))
	require.Equal(t, []string{"n3: web, which n2 has"}, r.of(takenHostname))
	require.Equal(t, []string{"n1: #gpu"}, r.of(changedTags))
	require.Equal(t, []string{"n1: GPU", "n1: t10"}, r.of(badTags))
	require.Equal(t, []string{`trust "x"`, `trust "2:2"`, `trust "1:2:3"`, `trust "01:2"`, `trust " 1:2"`, `n1: real_addr "1.1.1.1 x"`, fmt.Sprintf(`n1: version "%s"`, strings.Repeat("1", 40))}, r.of(badFields))
	require.Equal(t, []string{"n5 in trust 1:5"}, r.of(strangers))
	require.Equal(t, 1, r.Trust)
}

func TestNetworks(t *testing.T) {
	s, r := imported(t, Options{}, snapshot(`"saved_at":"2026-01-05T00:00:00Z","nodes":{
		"1":{"public_key":k(a),"owner":"a","networks":[0,1,3,9]},"2":{"public_key":k(b),"owner":"a"},"3":{"public_key":k(c),"owner":"a"}},
		"networks":{
		"0":{"name":"backbone","members":[1,2]},
		"1":{"name":"Build Farm","join_rule":"token","token":"secret-token","members":[1,2,7],"member_roles":{"2":"owner"},"member_tags":{"1":["#x"]},"max_members":1},
		"2":{"name":"build-farm","join_rule":"open","members":[2,3],"member_roles":{"2":"owner","3":"owner"}},
		"3":{"name":"lan","join_rule":"friends","members":[3]},
		"4":{"name":"nobody","join_rule":"open","members":[]},
		"5":{"name":"`+strings.Repeat("x", 300)+`","join_rule":"invite","members":[2],"member_roles":{"2":"owner"}}},
		"invite_inbox":{"3":[{"network_id":1,"inviter_id":2,"timestamp":"2026-01-04T00:00:00Z"},{"network_id":1},{"network_id":4}],"2":[{"network_id":1}],"8":[{"network_id":1}]}`), nil)
	build, _ := s.Networks.Get("build-farm")
	require.Equal(t, []any{"Build Farm", fleet.NodeID("n2"), fleet.JoinInvite, uint32(2), uint32(2)}, []any{string(build.Name), build.Owner, build.Join, build.Members, build.MaxMembers})
	second, _ := s.Networks.Get("build-farm-2")
	require.Equal(t, fleet.NodeID("n2"), second.Owner)
	m, _ := s.Members.Get("build-farm-2.n3")
	require.Equal(t, fleet.RoleAdmin, m.Role)
	m, _ = s.Members.Get("build-farm.n1")
	require.Equal(t, fleet.Tags{"x"}, m.Tags)
	lan, _ := s.Networks.Get("lan")
	require.Equal(t, []any{fleet.NodeID("n1"), fleet.JoinInvite, uint32(2)}, []any{lan.Owner, lan.Join, lan.Members})
	invite, _ := s.Invites.Get("n3.build-farm")
	require.Equal(t, fleet.Invite{Role: fleet.RoleMember, By: "n2", Expires: 1_770_076_800_000}, invite)
	require.Equal(t, []int{4, 7, 1}, []int{r.Networks, r.Members, r.Invites})

	require.Equal(t, []string{"n1", "n2", "n1"}, r.of(network0))
	require.Equal(t, []string{"build-farm"}, r.of(tokenNetworks))
	require.Equal(t, []string{`lan: "friends"`}, r.of(ruleless))
	require.Equal(t, []string{"lan: n1"}, r.of(ownerless))
	require.Equal(t, []string{"4 nobody"}, r.of(emptyNetworks))
	require.Equal(t, []string{"build-farm-2: n2"}, r.of(manyOwners))
	require.Len(t, r.of(badNames), 1)
	require.Equal(t, []string{"1 Build Farm: build-farm", "2 build-farm: build-farm-2"}, r.of(renamed)[:2])
	require.Equal(t, []string{"n1 in network 9", "n7 in network Build Farm", "n8 in invite_inbox", "network 4 in invite_inbox"}, sortedOf(r.of(strangers)))
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "secret-token")
}

func TestHandshakes(t *testing.T) {
	var many strings.Builder
	for i := 10; i < 120; i++ {
		fmt.Fprintf(&many, `,"%d":{"public_key":k(m%d),"owner":"a"}`, i, i)
	}
	asks := "{\"from_node\":2,\"justification\":\"we build\",\"timestamp\":\"2026-01-04T00:00:00Z\"}"
	for i := 10; i < 120; i++ {
		asks += fmt.Sprintf(`,{"from_node":%d}`, i)
	}
	s, r := imported(t, Options{}, snapshot(`"nodes":{"1":{"public_key":k(a),"owner":"a"},"2":{"public_key":k(b),"owner":"a"},"3":{"public_key":k(c),"owner":"a"}`+many.String()+`},
		"trust_pairs":["1:3"],"handshake_inbox":{"1":[`+asks+`,{"from_node":3},{"from_node":1},{"from_node":7}],"2":[{"from_node":1},{"from_node":3,"justification":"`+strings.Repeat("x", 2000)+`"}]}`), nil)
	ask, _ := s.Asks.Get("n1.n2")
	require.Equal(t, []any{"we build", uint64(1_767_484_800_000)}, []any{string(ask.Why), ask.At.WallMS})
	require.Equal(t, 101, r.Asks)
	require.ElementsMatch(t, []string{"n1 asks n1", "n3 asks n1", "n1 asks n2"}, r.of(bothAsk))
	require.Len(t, r.of(tooMany), 11)
	require.Equal(t, []string{"n3 asks n2: justification"}, r.of(badFields))
	require.Equal(t, []string{"n7 in handshake_inbox"}, r.of(strangers))
}

// TestNoPlace: each member that the fleet has no place for is named with its size.
func TestNoPlace(t *testing.T) {
	_, r := imported(t, Options{}, snapshot(twoNodes+`,"networks":{"1":{"name":"build","join_rule":"open","members":[1],"member_roles":{"1":"owner"},"admin_token":"s","policy":{"a":1,"b":2}},"2":{"name":"b","join_rule":"open","members":[2],"member_roles":{"2":"owner"},"admin_token":"t"}},
		"handshake_responses":{"1":[],"2":[]},"idp_config":{},"audit_log":[1,2,3],"dashboard":7,"next_net":2`), log(`{"type":"heartbeat","term":1,"data":{"node_id":1}}`, `{"type":"heartbeat","term":1,"data":{"node_id":1,"nonce":5}}`))
	require.Equal(t, []string{"admin_token in networks (2)", "audit_log in the snapshot (3)", "dashboard in the snapshot (1)", "handshake_responses in the snapshot (2)", "idp_config in the snapshot (0)", "nonce in heartbeat (1)", "policy in networks (2)", "term in records (2)"}, r.of(noPlace))
}

func sortedOf(names []string) []string { return slices.Sorted(slices.Values(names)) }
