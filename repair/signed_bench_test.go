package repair_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// BenchmarkVerifySigned verifies a log of signed entries, without asking for their
// signatures, by turns with the same log unsigned, and with one whose entries have other
// words of the same length in place of signature and key. The metrics are how many times
// as long it takes: 1.2 at most. Signatures are bytes that no compression makes fewer.
func BenchmarkVerifySigned(b *testing.B) {
	const entries, clients = 100_000, 64
	write := func(sign func(e *swoosh.Engine, r swoosh.Request) swoosh.Request) swoosh.Options {
		o := swoosh.Options{Dir: filepath.Join(b.TempDir(), "data"), Node: "test"}
		e, err := swoosh.Open(b.Context(), o, fleet.Domain)
		require.NoError(b, err)
		register := swoosh.Request{Command: "fleet.register", IdempotencyKey: "first", Payload: []byte(fmt.Sprintf(`{"owner":"acme","public_key":%q,"session":"session-1"}`, swooshtest.PublicKey("n1")))}
		_, err = e.Submit(b.Context(), swooshtest.Sign(b, e, swooshtest.Key("n1"), swooshtest.PublicKey("n1"), register))
		require.NoError(b, err)
		since := e.View().At()
		var all errgroup.Group
		all.SetLimit(clients)
		for i := range entries {
			r := swoosh.Request{Command: "fleet.set_tags", IdempotencyKey: fmt.Sprint("key-", i), KeySince: since, Payload: []byte(fmt.Sprintf(`{"node":"n1","tags":["t%d"]}`, i))}
			all.Go(func() error {
				_, err := e.Submit(b.Context(), sign(e, r))
				return err
			})
		}
		require.NoError(b, all.Wait())
		require.NoError(b, e.Close(b.Context()))
		return o
	}
	logs := []swoosh.Options{
		write(func(_ *swoosh.Engine, r swoosh.Request) swoosh.Request { return r }),
		write(func(_ *swoosh.Engine, r swoosh.Request) swoosh.Request {
			one, two := sha256.Sum256([]byte(r.IdempotencyKey)), sha512.Sum512([]byte(r.IdempotencyKey))
			r.Evidence = noun.Refs{noun.Ref(hex.EncodeToString(one[:])), noun.Ref(base64.StdEncoding.EncodeToString(two[:]))}
			return r
		}),
		write(func(e *swoosh.Engine, r swoosh.Request) swoosh.Request {
			return swooshtest.Sign(b, e, swooshtest.Key("n1"), "n1", r)
		}),
	}
	var all, asLong []float64
	for b.Loop() {
		var took [3]time.Duration
		for i, o := range logs {
			start := time.Now()
			found, err := repair.Verify(b.Context(), o, fleet.Domain)
			took[i] = time.Since(start)
			require.NoError(b, err)
			require.EqualValues(b, entries+1, found.Last)
		}
		all = append(all, float64(took[2])/float64(took[0]))
		asLong = append(asLong, float64(took[2])/float64(took[1]))
	}
	slices.Sort(all)
	slices.Sort(asLong)
	b.ReportMetric(all[len(all)/2], "x-unsigned")
	b.ReportMetric(asLong[len(asLong)/2], "x-as-long")
	b.ReportMetric(0, "ns/op")
}
