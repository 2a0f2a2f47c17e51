package program

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/swooshtest"
)

// line is an entry of a log, as JSON.
type line = map[string]any

// entriesOf parses what swoosh log --json prints.
func entriesOf(t *testing.T, log string) (lines []line) {
	for text := range strings.Lines(log) {
		var entry line
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		require.NoError(t, d.Decode(&entry))
		lines = append(lines, entry)
	}
	return lines
}

// relinked prints entries as a log, each with its index and with the chain that follows.
func relinked(t *testing.T, entries []line) string {
	var out bytes.Buffer
	var chain [sha256.Size]byte
	for i, entry := range entries {
		delete(entry, "chain")
		entry["index"] = i + 1
		canonical := func() jsontext.Value {
			text, err := json.Marshal(entry)
			require.NoError(t, err)
			value := jsontext.Value(text)
			require.NoError(t, value.Canonicalize())
			return value
		}
		chain = record.Link(chain, canonical())
		entry["chain"] = hex.EncodeToString(chain[:])
		fmt.Fprintf(&out, "%s\n", canonical())
	}
	return out.String()
}

// TestQuorumCertificate: who elected a council can be shown from the log alone, in Python, and a log in which
// a vote is forged shows nothing.
func TestQuorumCertificate(t *testing.T) {
	if exec.Command("python3", "-c", "import cryptography").Run() != nil {
		t.Skip("python3-cryptography is not installed")
	}
	p := launch(t, t.TempDir())
	address := p.address(t)
	t.Setenv("SWOOSH_ADDR", address)
	keys := map[string]ed25519.PrivateKey{}
	as := func(signer string, key ed25519.PrivateKey) *client.Client {
		o := client.Options{}
		if signer != "" {
			o.Signer = client.NewSigner(key, signer)
		}
		c, err := client.New(address, o)
		require.NoError(t, err)
		return c
	}
	say := func(signer, command, payload string) {
		t.Helper()
		_, err := as(signer, keys[signer]).Do(t.Context(), client.Command{Name: command, Payload: json.RawMessage(payload)})
		require.NoError(t, err, "%s %s", signer, payload)
	}
	register := func(n int, owner string) {
		name := fmt.Sprintf("n%d", n)
		keys[name] = swooshtest.Key(name)
		_, err := as(swooshtest.PublicKey(name), keys[name]).Do(t.Context(), client.Command{Name: "fleet.register",
			Payload: json.RawMessage(fmt.Sprintf(`{"public_key":"%s","owner":"%s","session":"session-1"}`, swooshtest.PublicKey(name), owner))})
		require.NoError(t, err)
	}
	vote := func(voter, candidate string) {
		say(voter, "council.vote", fmt.Sprintf(`{"project":"alpha","role":"lead","voter":"%s","candidate":"%s"}`, voter, candidate))
	}
	certificate := func(log string) (out string, code int) {
		const script = "../examples/certificate.py"
		require.FileExists(t, script, "and go test runs again when it changes")
		cmd := exec.Command("python3", script, "alpha")
		cmd.Stdin = strings.NewReader(log)
		text, _ := cmd.CombinedOutput()
		return string(text), cmd.ProcessState.ExitCode()
	}
	export := func() string {
		o := swooshRun(t, "", "log", "--json")
		require.Equal(t, codeGood, o.code, o.err)
		return o.out
	}

	for n := 1; n <= 5; n++ {
		register(n, fmt.Sprintf("owner-%d", n))
	}
	say("n5", "network.create", `{"network":"build","name":"Build","owner":"n5","join":"open"}`)
	for _, name := range []string{"n1", "n2", "n3", "n4"} {
		say(name, "network.join", fmt.Sprintf(`{"network":"build","node":"%s"}`, name))
	}
	say("n5", "project.create", `{"project":"alpha","name":"Älpha","network":"build"}`)
	say("n5", "council.plan", `{"project":"alpha","roles":[{"name":"lead","seats":1}],"electorate":["n1","n2","n3","n4"],"quorum":3}`)
	for _, voter := range []string{"n1", "n2", "n4"} {
		vote(voter, "n1")
	}
	out, code := certificate(export())
	require.Equal(t, codeFailed, code, out)
	require.Contains(t, out, "project alpha has no council now", "nobody was elected yet")
	say("", "council.elect", `{"project":"alpha"}`)
	out, code = certificate(export())
	require.Equal(t, codeGood, code, out)
	require.Contains(t, out, "lead: n1\n  n1 in entry 13, signed with the key of entry 1\n  n2 in entry 14, signed with the key of entry 2\n  n4 in entry 15, signed with the key of entry 4\n  3 of 3 votes\n")

	// n1 goes, and with it what was voted. n2 votes in a batch, n3 with another key and for a state.
	say("n1", "network.leave", `{"network":"build","node":"n1"}`)
	out, code = certificate(export())
	require.Equal(t, codeFailed, code, out)
	say("", "fleet.rotate_key", rotation("n3", "n3-new"))
	keys["n3"] = swooshtest.Key("n3-new")
	_, err := as("n2", keys["n2"]).Batch(t.Context(), []client.Command{
		{Name: "fleet.set_tags", Payload: json.RawMessage(`{"node":"n2","tags":["gpu"]}`)},
		{Name: "council.vote", Payload: json.RawMessage(`{"project":"alpha","role":"lead","voter":"n2","candidate":"n2","term":2}`)},
	})
	require.NoError(t, err)
	index := uint64(20)
	_, err = as("n3", keys["n3"]).Do(t.Context(), client.Command{Name: "council.vote", Expect: &client.Expect{Index: &index},
		Payload: json.RawMessage(`{"project":"alpha","role":"lead","voter":"n3","candidate":"n2"}`)})
	require.NoError(t, err)
	vote("n4", "n2")
	say("", "council.elect", `{"project":"alpha"}`)
	log := export()
	require.Equal(t, log, relinked(t, entriesOf(t, log)))
	out, code = certificate(log)
	require.Equal(t, codeGood, code, out)
	require.Contains(t, out, "lead: n2\n  n2 in entry 20, signed with the key of entry 2\n  n3 in entry 21, signed with the key of entry 18, which an admin gave it\n  n4 in entry 22, signed with the key of entry 4\n  3 of 3 votes\n")

	requireForgeriesAreSeen(t, log, certificate)
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), p.stderr.String())
}

// rotation is the payload by which an admin gives a node another key.
func rotation(node, name string) string {
	from, to := swooshtest.PublicKey(node), swooshtest.PublicKey(name)
	proof := ed25519.Sign(swooshtest.Key(name), []byte("swoosh key 1\n"+fmt.Sprintf(`{"node":"%s","old_key":"%s","public_key":"%s"}`, node, from, to)))
	return fmt.Sprintf(`{"node":"%s","old_key":"%s","public_key":"%s","proof":"%s"}`, node, from, to, base64.StdEncoding.EncodeToString(proof))
}

// requireForgeriesAreSeen alters the votes of a log, with chains that are as good as before.
func requireForgeriesAreSeen(t *testing.T, log string, certificate func(string) (string, int)) {
	payload := func(entry line) line { return entry["payload"].(line) }
	for name, forge := range map[string]func([]line) []line{
		"another candidate": func(all []line) []line { payload(all[20])["candidate"] = "n3"; return all },
		"another voter":     func(all []line) []line { payload(all[20])["voter"] = "n4"; return all },
		"no signature":      func(all []line) []line { delete(all[20], "signature"); return all },
		"another's signature": func(all []line) []line {
			all[20]["signature"] = all[21]["signature"]
			return all
		},
		"signed by another with its own key": func(all []line) []line {
			all[20]["signer"], all[20]["signer_key"] = "n4", all[21]["signer_key"]
			return all
		},
		"a vote that was not cast": func(all []line) []line { return append(all[:20:20], all[21:]...) },
		"a vote of a batch elsewhere": func(all []line) []line {
			delete(all[19], "batch")
			return all
		},
		"a key that the node does not have": func(all []line) []line {
			payload(all[17])["public_key"] = swooshtest.PublicKey("n4")
			return all
		},
		"a quorum that is none": func(all []line) []line { payload(all[11])["quorum"] = 2; return all },
		"another election":      func(all []line) []line { payload(all[11])["electorate"] = []any{"n1", "n2", "n3"}; return all },
		"a vote that is shown again": func(all []line) []line {
			return append(all[:22:22], append([]line{maps.Clone(all[21])}, all[22:]...)...)
		},
		"a seat that was lost": func(all []line) []line { return append(all[:22:22], append([]line{forgedLeave()}, all[22:]...)...) },
	} {
		t.Run(name, func(t *testing.T) {
			out, code := certificate(relinked(t, forge(entriesOf(t, log))))
			require.Equal(t, codeFailed, code, out)
			require.NotContains(t, out, "Traceback", out)
		})
	}
	for name, broken := range map[string]string{
		"a vote that is altered": strings.Replace(log, `"candidate":"n2"`, `"candidate":"n3"`, 1),
		"without its beginning":  log[strings.IndexByte(log, '\n')+1:],
		"with a gap":             strings.Join(append(strings.SplitAfter(log, "\n")[:5], strings.SplitAfter(log, "\n")[6:]...), ""),
	} {
		t.Run(name, func(t *testing.T) {
			out, code := certificate(broken)
			require.Equal(t, codeFailed, code, out)
			require.Contains(t, out, "does not follow the entry before it")
		})
	}
}

// forgedLeave takes an elector out before the election, with its vote.
func forgedLeave() line {
	return line{"command": "network.kick", "payload": line{"network": "build", "node": "n3"}, "hlc": "019b76daa800-0000-test", "changed": true, "state_hash": ""}
}
