package program

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrust(t *testing.T) {
	h := newFleetHub(t, "a", "b", "c", "d")
	require.Equal(t, "n1 asks n2, who answers with: swoosh trust give n2 n1\n", h.good("trust", "give", "n1", "n2", "--why", "we build together", h.as(1)))
	require.Equal(t, "n1 asks n2, who answers with: swoosh trust give n2 n1\n", h.good("trust", "give", "n1", "n2", h.as(1)), "again")
	h.good("trust", "give", "n3", "n1", h.as(3))
	require.Equal(t, "n1 and n4 trust each other, entry 8\n", h.good("trust", "give", "n1", "n4"), "an admin says it for both")
	require.Regexp(t, `^PEER  TRUST   SINCE  WHY
n2    asked   \d+[sm] +we build together
n3    asks    \d+[sm]
n4    mutual  \d+[sm]
$`, h.good("trust", "list", "n1"))
	require.Regexp(t, `^PEER  TRUST  SINCE  WHY\nn1    asks   \d+[sm] +we build together\n$`, h.good("trust", "list", "n2"))
	require.Equal(t, "n2 and n1 trust each other, entry 9\n", h.good("trust", "give", "n2", "n1", h.as(2)))
	lines := strings.Split(strings.TrimSpace(h.good("trust", "list", "n1", "--json")), "\n")
	require.Len(t, lines, 3)
	for _, line := range lines {
		requireMembers(t, line, []string{"peer", "trust", "since"})
	}
	require.Equal(t, "n1 and n4 do not trust each other, entry 10\n", h.good("trust", "revoke", "n1", "n4", h.as(1)))
	require.Equal(t, "n1 and n3 do not trust each other, entry 11\n", h.good("trust", "revoke", "n1", "n3", h.as(1)), "declined")
	require.Equal(t, "n1 and n3 do not trust each other, entry 12; it was so before\n", h.good("trust", "revoke", "n1", "n3", h.as(1)))
	require.Regexp(t, `^PEER .*\nn2    mutual  \S+\n$`, h.good("trust", "list", "n1"))

	for args, says := range map[string]string{
		"trust give n1 n7":                           "not_found: there is no node n7",
		"trust give n1 n2 " + h.as(3):                "forbidden: n3 signed this, but only n1 itself or an admin may do it",
		"trust give n1 n1":                           "invalid_payload: /payload/peer must be another node than node",
		"trust list n7":                              "there is no node n7: swoosh nodes lists those that there are",
		"trust list n7 --json " + h.as(1):            "there is no node n7",
		"trust revoke n1 n7 --json":                  "not_found",
		"trust give n1 n2 --addr http://127.0.0.1:1": "",
	} {
		if says != "" {
			require.Contains(t, h.bad(codeFailed, strings.Fields(args)...), says, args)
			continue
		}
		require.Contains(t, h.bad(codeUnreachable, append(strings.Fields(args), "--retry=0")...), "swoosh serve")
	}
	for args, says := range map[string]string{
		"trust gve n1 n2":     `there is no command "trust gve", did you mean trust give? swoosh help trust lists them all`,
		"trust nonsense":      `there is no command "trust nonsense": swoosh help trust lists them all`,
		"help trust gve":      `did you mean trust give?`,
		"help trust give n1":  `"n1" is one argument too many: swoosh help trust give explains swoosh trust give`,
		"trust give n1":       "PEER is missing: swoosh trust give NODE PEER",
		"trust give n1 web-1": `PEER is "web-1": it must be n and a number`,
		"trust give n1 n2 n3": `"n3" is one argument too many`,
		"trust give --wy x":   "did you mean --why? swoosh trust give --help lists the flags",
	} {
		require.Contains(t, h.bad(codeUsage, strings.Fields(args)...), says, args)
	}
	got := swooshRun(t, "", "trust")
	require.Equal(t, codeUsage, got.code)
	require.Contains(t, got.err, "Say that a node trusts a peer")
	require.Contains(t, got.err, "name a command of trust, such as: swoosh trust list NODE")
	require.Contains(t, h.good("help", "trust", "give"), "Once both have said so")
}

// TestATrustWhoseOutcomeIsUnknown names the key that finds it out.
func TestATrustWhoseOutcomeIsUnknown(t *testing.T) {
	fake(t, hangUp)
	got := swooshRun(t, "", "trust", "revoke", "n1", "n2")
	require.Equal(t, codeUnknown, got.code, got.err)
	require.Regexp(t, `to find out, run: swoosh outcome [0-9a-f]{32}\n$`, got.err)
}
