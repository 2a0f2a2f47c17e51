package program

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

var shownToken = regexp.MustCompile(`swoosh_join_\S+`)

func TestNetworks(t *testing.T) {
	h := newFleetHub(t, "a", "b", "c", "d")
	network := func(id noun.ID) fleet.Network {
		n, ok := h.state().Networks.Get(id)
		require.True(t, ok)
		return n
	}
	require.Equal(t, "network build, owner n1, entry 5\n", h.good("network", "create", "build", h.as(1)))
	require.Equal(t, fleet.JoinInvite, network("build").Join)
	require.EqualValues(t, "build", network("build").Name)
	h.good("network", "create", "open", "--owner", "n2", "--join", "open", "--name", "For all", "--max-members", "3")
	require.EqualValues(t, "For all", network("open").Name)
	require.EqualValues(t, 3, network("open").MaxMembers)
	require.Equal(t, "n3 is in network open, entry 7\n", h.good("network", "join", "open", h.as(3)))
	require.Contains(t, h.bad(codeFailed, "network", "join", "build", h.as(3)), "may not join network build by itself")
	require.Equal(t, "n3 is invited for 30 days; it accepts with: swoosh network join build --dir DIR, entry 8\n", h.good("network", "invite", "build", "n3", "--role", "admin", h.as(1)))
	require.Regexp(t, `^NODE  ROLE              SINCE  TAGS
n1    owner             \d+[sm]
n3    invited as admin  –      until 20\d\d-\d\d-\d\d
$`, h.good("network", "list", "build"))
	h.good("network", "join", "build", h.as(3))
	h.good("network", "join", "build", "--node", "n2")
	require.Equal(t, "n2 has the tags gpu in network build, entry 11\n", h.good("network", "tags", "build", "n2", "gpu", h.as(3)))
	require.Regexp(t, `^NODE  ROLE    SINCE  TAGS
n1    owner   \d+[sm]
n2    member  \d+[sm] +gpu
n3    admin   \d+[sm]
$`, h.good("network", "list", "build"))
	require.Equal(t, "n2 is out of network build, entry 12\n", h.good("network", "kick", "build", "n2", "--reason", "tried", h.as(3)))
	require.Equal(t, "n3 is owner of network build, entry 13\n", h.good("network", "role", "build", "n3", "owner", h.as(1)))
	require.Equal(t, "n1 is out of network build, entry 14\n", h.good("network", "leave", "build", h.as(1)))
	require.Equal(t, fleet.NodeID("n3"), network("build").Owner)

	require.Equal(t, "network open is as you say, entry 15\n", h.good("network", "set", "open", "--name", "All", h.as(2)))
	n := network("open")
	require.Equal(t, []any{noun.Name("All"), fleet.JoinOpen, uint32(3)}, []any{n.Name, n.Join, n.MaxMembers}, "the rest stays")
	h.good("network", "set", "open", "--join", "invite", "--max-members", "9", h.as(2))
	n = network("open")
	require.Equal(t, []any{noun.Name("All"), fleet.JoinInvite, uint32(9)}, []any{n.Name, n.Join, n.MaxMembers})
	require.Equal(t, "network open is deleted, and its id stays taken, entry 17\n", h.good("network", "delete", "open", h.as(2)))
	require.Regexp(t, `^NETWORK  NAME   OWNER  JOIN    MEMBERS     PHASE    CREATED
build    build  n3     invite  1 of 10000  ACTIVE   \d+[sm]
open     All    n2     invite  2 of 9      DELETED  \d+[sm]
$`, h.good("network", "list"))
	for _, args := range [][]string{{"network", "list", "--json"}, {"network", "list", "build", "--json"}} {
		for line := range strings.Lines(h.good(args...)) {
			requireMembers(t, line, nil)
		}
	}
	requireMembers(t, strings.Split(h.good("network", "list", "--json"), "\n")[0], []string{"network", "name", "owner", "members"})
	requireMembers(t, strings.TrimSpace(h.good("network", "list", "build", "--json")), []string{"node", "role", "since"})

	for args, says := range map[string]string{
		"network list none":                         "there is no network none: swoosh network list lists those that there are",
		"network set none --name x":                 "there is no network none: swoosh network list lists those that there are",
		"network create build --owner n1":           "conflict: there is or was a network build",
		"network create B --owner n1":               "invalid_payload: /payload/network",
		"network create x --owner n1 --join friend": "must be open, token or invite",
		"network role build n3 boss":                "must be owner, admin or member",
		"network set build --name x " + h.as(1):     "forbidden: n1 signed this, but it needs the owner or an admin of network build",
		"network kick build n4":                     "n4 is not a member of network build",
	} {
		require.Contains(t, h.bad(codeFailed, strings.Fields(args)...), says, args)
	}
	for args, says := range map[string]string{
		"network":                                        "name a command of network, such as: swoosh network list [NETWORK]",
		"network create":                                 "NETWORK is missing",
		"network create x":                               "say which node it is, with --owner, or with --dir as the node itself",
		"network create x --owner web":                   `--owner is "web": it must be n and a number`,
		"network join build":                             "say which node it is, with --node, or with --dir",
		"network leave build --node web":                 `--node is "web"`,
		"network set build":                              "say what to change: --name, --join or --max-members",
		"network create x --max-members 2e6":             `--max-members is "2e6": give a whole number from 1 to 1000000`,
		"network invite build web":                       `NODE is "web"`,
		"network crate x":                                "did you mean network create?",
		"network join build --node n1 --join-token none": "--join-token: open none: no such file or directory: check the path",
	} {
		got := swooshRun(t, "", strings.Fields(args)...)
		require.Equal(t, codeUsage, got.code, args)
		require.Contains(t, got.err, says, args)
	}
}

// TestJoinTokens: a token is shown once, lets a node in by a ticket, and is nowhere at the
// hub.
func TestJoinTokens(t *testing.T) {
	h := newFleetHub(t, "a", "b", "c", "d")
	said := h.good("network", "create", "build", "--join", "token", h.as(1))
	require.Regexp(t, `^network build, owner n1, entry 5; who has this may join, it is shown only now: swoosh_join_[A-Za-z0-9_-]{43}\n$`, said)
	token := shownToken.FindString(said)
	file := writeFile(t, filepath.Join(t.TempDir(), "token"), token+"\n")
	require.Contains(t, h.bad(codeFailed, "network", "join", "build", h.as(2)), "may not join network build by itself")
	require.Equal(t, "n2 is in network build, entry 6\n", h.good("network", "join", "build", "--join-token", file, h.as(2)))
	got := swooshRun(t, token, "network", "join", "build", "--join-token", "-", h.as(3))
	require.Equal(t, codeGood, got.code, got.err)

	var anew struct {
		Token string `json:"join_token"`
		Index uint64
	}
	readJSON(t, h.good("network", "set", "build", "--join", "token", "--json", h.as(1)), &anew)
	require.Regexp(t, `^swoosh_join_`, anew.Token)
	require.EqualValues(t, 8, anew.Index)
	require.NotEqual(t, token, anew.Token)
	h.good("network", "set", "build", "--name", "Build", h.as(1))
	require.Contains(t, h.bad(codeFailed, "network", "join", "build", "--join-token", file, h.as(4)), "may not join", "the old one is worth nothing")
	got = swooshRun(t, anew.Token, "network", "join", "build", "--join-token=-", h.as(4))
	require.Equal(t, codeGood, got.code, got.err)

	h.good("network", "set", "build", "--join", "open", h.as(1))
	n, _ := h.state().Networks.Get("build")
	require.Equal(t, []any{fleet.JoinOpen, fleet.PublicKey("")}, []any{n.Join, n.JoinKey}, "the token goes with its way to join")

	for _, secret := range []string{token, anew.Token, strings.TrimPrefix(token, joinTokenPrefix), strings.TrimPrefix(anew.Token, joinTokenPrefix)} {
		require.NotContains(t, h.good("state"), secret)
		require.NotContains(t, h.good("log", "--json"), secret)
	}
	for _, wrong := range []string{"", "hello", "swoosh_join_abc", token + "A", strings.Replace(token, "join_", "", 1), token + "=\n"} {
		got := swooshRun(t, wrong, "network", "join", "build", "--join-token", "-", h.as(4))
		require.Equal(t, codeUsage, got.code, wrong)
		require.Contains(t, got.err, "--join-token - is not the token of a network, which begins with swoosh_join_: ask the network's owner for it")
	}
}

// TestATokenThatMayBeTheNetworks is shown, although the outcome is unknown.
func TestATokenThatMayBeTheNetworks(t *testing.T) {
	fake(t, hangUp)
	got := swooshRun(t, "", "network", "create", "build", "--owner", "n1", "--join", "token")
	require.Equal(t, codeUnknown, got.code, got.err)
	require.Regexp(t, `(?m)^the token, if it is done: swoosh_join_\S+$`, got.err)
	require.Regexp(t, `swoosh outcome [0-9a-f]{32}\n$`, got.err)
	fake(t, refuse(409, "conflict", "no"))
	got = swooshRun(t, "", "network", "create", "build", "--owner", "n1", "--join", "token")
	require.Equal(t, codeFailed, got.code)
	require.NotContains(t, got.err+got.out, "swoosh_join_")
}

// TestInvitationsThatExpired are not listed.
func TestInvitationsThatExpired(t *testing.T) {
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("path") {
		case "/fleet/invites":
			fmt.Fprintf(w, `{"n1.build":{"role":"member","expires":%d},"n2.build":{"role":"member","expires":%d}}`, time.Now().Add(-time.Second).UnixMilli(), time.Now().Add(time.Hour).UnixMilli())
		default:
			fmt.Fprint(w, "{}")
		}
	})
	require.Regexp(t, `^NODE .*\nn2    invited as member .*\n$`, swooshRun(t, "", "network", "list", "build").out)
	require.Regexp(t, `^{"node":"n2","invited":true,.*}\n$`, swooshRun(t, "", "network", "list", "build", "--json").out)
}
