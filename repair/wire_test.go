package repair_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

var update = flag.Bool("update", false, "write the files of testdata/signed anew")

// signedDir has a log with signed entries, and its hashes. Once released it is never
// written again: a later format gets a folder of its own.
const signedDir = "testdata/signed"

// writeSigned makes a log with every way to sign, and returns its records and hashes.
func writeSigned(t *testing.T) (records []byte, hashes string) {
	t.Helper()
	clock := swooshtest.NewClock(1767225600000)
	e := swooshtest.Open(t, swoosh.Options{Node: "test", Now: clock.Now}, fleet.Domain)
	n := 0
	sign := func(key, signer string, r swoosh.Request, payload string) {
		t.Helper()
		r.Payload = []byte(payload)
		if r.Command != "fleet.heartbeat" {
			n++
			r.IdempotencyKey, r.KeySince = fmt.Sprint("key-", n), e.View().At()
		}
		_, err := e.Submit(t.Context(), swooshtest.Sign(t, e, swooshtest.Key(key), signer, r))
		require.NoError(t, err)
		clock.Advance(time.Second)
	}
	register := func(key string) {
		sign(key, swooshtest.PublicKey(key), swoosh.Request{Command: "fleet.register"},
			fmt.Sprintf(`{"owner":"acme","public_key":%q,"session":"session-1"}`, swooshtest.PublicKey(key)))
	}
	register("a") // signed for no hub
	register("b")
	sign("a", "n1", swoosh.Request{Command: "trust.give", WindowID: "w1", InputsHash: swoosh.Hash{1, 2, 3}, Evidence: noun.Refs{"oci:x"}}, `{"node":"n1","peer":"n2","why":"\u00e9 \" 😀"}`)
	sign("b", "n2", swoosh.Request{Command: "trust.give"}, `{"node":"n2","peer":"n1"}`)
	sign("a", "n1", swoosh.Request{Command: "fleet.heartbeat"}, fmt.Sprintf(`{"node":"n1","session":"session-1","seen":%q}`, e.View().At()))

	old, key := fleet.PublicKey(swooshtest.PublicKey("a")), fleet.PublicKey(swooshtest.PublicKey("c"))
	proof := ed25519.Sign(swooshtest.Key("c"), []byte(fleet.KeyProof("n1", old, key)))
	sign("a", "n1", swoosh.Request{Command: "fleet.rotate_key"}, fmt.Sprintf(`{"node":"n1","old_key":%q,"public_key":%q,"proof":%q}`, old, key, base64.StdEncoding.EncodeToString(proof)))
	sign("c", "n1", swoosh.Request{Command: "network.create"}, `{"network":"build","name":"Build","owner":"n1","join":"open"}`)

	batch, entries := []swoosh.Request{}, []swoosh.Entry{}
	for i, payload := range []string{`{"network":"build","node":"n2"}`, `{"network":"build","node":"n2","tags":["x"]}`} {
		signer, command := []string{"n2", "n1"}[i], []string{"network.join", "network.set_tags"}[i]
		entries = append(entries, swoosh.Entry{Index: uint64(i), Command: command, Payload: jsontext.Value(payload), Signer: signer, Batch: swoosh.Batch{Count: 2}})
		entries[0].IdempotencyKey, entries[0].KeySince = "batch", e.View().At()
		signature := ed25519.Sign(swooshtest.Key([]string{"b", "c"}[i]), entries[i].SignedContent(e.View().Hub(), &entries[0]))
		batch = append(batch, swoosh.Request{Command: command, Payload: []byte(payload), Signer: signer, Signature: base64.StdEncoding.EncodeToString(signature)})
	}
	batch[0].KeySince = e.View().At()
	_, err := e.SubmitBatch(t.Context(), "batch", batch)
	require.NoError(t, err)
	clock.Advance(time.Hour)
	reap := swoosh.Request{Command: "fleet.reap", Actor: "hub", Signer: "n2", Payload: []byte(fmt.Sprintf(`{"before":%d,"nodes":["n1","n2"]}`, clock.Now()-30*60*1000))}
	_, err = e.Submit(t.Context(), reap) // a claim, which nobody checked
	require.NoError(t, err)
	for r, err := range e.Records(1, e.View().Index()) {
		require.NoError(t, err)
		records = record.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON, Signed: r.Signed}.Append(records)
	}
	return records, signedHashes(e.View())
}

func signedHashes(v swoosh.View) string {
	return fmt.Sprintf("index %d\nstate %s\nchain %s\nhub %s\n", v.Index(), v.StateHash(), v.Chain(), v.Hub())
}

// TestWhatWasOnceSignedIsReadForEver: replayed to the same hashes, and each signature is
// good.
func TestWhatWasOnceSignedIsReadForEver(t *testing.T) {
	if *update {
		records, hashes := writeSigned(t)
		require.NoError(t, os.MkdirAll(signedDir, 0o755))
		require.NoError(t, os.WriteFile(signedDir+"/entries", records, 0o644))
		require.NoError(t, os.WriteFile(signedDir+"/hashes.txt", []byte(hashes), 0o644))
	}
	records, err := os.ReadFile(signedDir + "/entries")
	require.NoError(t, err)
	want, err := os.ReadFile(signedDir + "/hashes.txt")
	require.NoError(t, err)

	wal, signed := swoosh.NewMemWAL(), uint64(0)
	var all []record.Record
	for r, err := range record.All(records, 1) {
		require.NoError(t, err)
		require.NoError(t, wal.Append([]swoosh.Record{{Index: r.Index, Chain: r.Chain, JSON: r.JSON, Signed: r.Signed}}))
		if all = append(all, r); r.Signed {
			signed++
		}
	}
	o := swoosh.Options{Node: "test", OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}
	e, err := swoosh.Open(t.Context(), o, fleet.Domain)
	require.NoError(t, err)
	require.Equal(t, string(want), signedHashes(e.View()))
	require.NoError(t, e.Close(t.Context()))

	o = signedLog(t) // a directory, whose log becomes this one
	testlog.Rewrite(t, o.Dir, func([]record.Record) []record.Record { return all })
	require.NoError(t, os.RemoveAll(filepath.Join(o.Dir, "snapshots")))
	found, err := repair.VerifyWith(t.Context(), o, repair.Extra{Signatures: true}, fleet.Domain)
	require.NoError(t, err)
	require.Equal(t, signed, *found.Signed)
	require.EqualValues(t, 9, signed)
}

// TestTheFormatOfSignedEntriesIsStillTheSame writes the log again. A change must be
// deliberate, with a folder for the new format.
func TestTheFormatOfSignedEntriesIsStillTheSame(t *testing.T) {
	was, err := os.ReadFile(signedDir + "/entries")
	require.NoError(t, err)
	hashes, err := os.ReadFile(signedDir + "/hashes.txt")
	require.NoError(t, err)
	now, hashesNow := writeSigned(t)
	require.Equal(t, string(was), string(now))
	require.Equal(t, string(hashes), hashesNow)
}
