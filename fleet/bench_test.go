package fleet_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// hub is a hub on disk, with a fleet in which each node trusts those that follow it, and
// 1000 open networks, each with a thousandth of the nodes.
type hub struct {
	e            *swoosh.Engine
	o            swoosh.Options
	nodes, peers int
	made         map[string]int // of each kind of request, so that no two are the same
}

const benchNetworks = 1000

func newHub(b *testing.B, nodes int) *hub {
	h := &hub{o: swoosh.Options{Dir: b.TempDir(), Version: "1", Commit: "benchmark", Logger: slog.New(slog.DiscardHandler), MaxStateBytes: 4 << 30}, nodes: nodes, peers: max(1, min(10, 1_000_000/nodes)), made: map[string]int{}}
	h.open(b)
	var empty bytes.Buffer
	_, err := h.e.View().WriteTo(&empty)
	require.NoError(b, err)
	none := `"fleet":` + emptyFleet(empty.String())
	require.Contains(b, empty.String(), none)
	_, err = h.e.Import(b.Context(), nil, strings.NewReader(strings.Replace(stateHash.ReplaceAllString(empty.String(), ""), none, `"fleet":`+h.document(), 1)))
	require.NoError(b, err)
	return h
}

// emptyFleet returns the member fleet of an empty state.
func emptyFleet(doc string) string {
	_, doc, _ = strings.Cut(doc, `"fleet":`)
	depth := 0
	for i, c := range doc {
		switch c {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return doc[:i+1]
			}
		}
	}
	return doc
}

func (h *hub) open(b *testing.B) {
	var err error
	h.e, err = swoosh.Open(b.Context(), h.o, fleet.Domain)
	require.NoError(b, err)
	e := h.e
	b.Cleanup(func() { _ = e.Close(context.Background()) })
}

// document returns the member fleet.
func (h *hub) document() string {
	const stamp = "019b76daa800-0000-test"
	tables := map[string][]string{}
	row := func(table, key, format string, a ...any) {
		tables[table] = append(tables[table], fmt.Sprintf(`"%s":`, key)+fmt.Sprintf(format, a...))
	}
	members := make([]int, benchNetworks)
	for n := 1; n <= h.nodes; n++ {
		name := fmt.Sprint("n", n)
		key := swooshtest.PublicKey(name)
		row("nodes", name, `{"phase":"ACTIVE","owner":"acme","addresses":["10.0.0.7:4000"],"version":"1.4.0","key":"%s","keys":1,"session":"session-1","registered":"%s","since":"%s"}`, key, stamp, stamp)
		row("keys", key, `{"node":"%s","number":1,"since":"%s"}`, name, stamp)
		row("seen", name, `{"at":"%s"}`, stamp)
		for d := 1; d <= h.peers; d++ {
			peer := (n-1+d)%h.nodes + 1
			row("trust", fmt.Sprintf("n%d.n%d", min(n, peer), max(n, peer)), `{"since":"%s"}`, stamp)
		}
		members[n%benchNetworks]++
	}
	for k := range benchNetworks {
		for n := k; n <= h.nodes; n += benchNetworks {
			if n > 0 && n != 1 {
				row("members", fmt.Sprintf("net-%d.n%d", k, n), `{"role":"member","since":"%s"}`, stamp)
			}
		}
		if k != 1 {
			members[k]++
		}
		row("members", fmt.Sprintf("net-%d.n1", k), `{"role":"owner","since":"%s"}`, stamp)
		row("networks", fmt.Sprint("net-", k), `{"name":"Network %d","owner":"n1","phase":"ACTIVE","join":"open","max_members":1000000,"members":%d,"created":"%s"}`, k, members[k], stamp)
	}
	var doc strings.Builder
	fmt.Fprintf(&doc, `{"last":%d`, h.nodes)
	for name, rows := range tables {
		fmt.Fprintf(&doc, `,"%s":{%s}`, name, strings.Join(rows, ","))
	}
	return doc.String() + "}"
}

// request returns the next signed request of a kind.
func (h *hub) request(b *testing.B, kind string) swoosh.Request {
	i := h.made[kind]
	h.made[kind]++
	n := i%h.nodes + 1
	name, command := fmt.Sprint("n", n), kind
	var payload string
	switch kind {
	case "fleet.register":
		name = fmt.Sprint("new-", i)
		payload = fmt.Sprintf(`{"owner":"acme","public_key":"%s","session":"session-1"}`, swooshtest.PublicKey(name))
	case "fleet.heartbeat":
		payload = fmt.Sprintf(`{"node":"%s","seen":"%s","session":"session-1"}`, name, h.e.View().At())
	case "trust.give":
		payload = fmt.Sprintf(`{"node":"%s","peer":"n%d"}`, name, (n+h.peers+i/h.nodes)%h.nodes+1)
	case "network.join":
		payload = fmt.Sprintf(`{"network":"net-%d","node":"%s"}`, (n+1+i/h.nodes)%benchNetworks, name)
	case "refused", "forged":
		command, payload = "network.create", fmt.Sprintf(`{"join":"open","name":"N","network":"net-1","owner":"%s"}`, name)
	}
	signer, key := name, swooshtest.Key(name)
	if kind == "fleet.register" {
		signer = hex.EncodeToString(key.Public().(ed25519.PublicKey))
	}
	if kind == "forged" {
		key = swooshtest.Key("somebody")
	}
	r := swoosh.Request{Command: command, Payload: []byte(payload)}
	if kind != "fleet.heartbeat" {
		r.IdempotencyKey, r.KeySince = fmt.Sprint(kind, i), h.e.View().At()
	}
	return swooshtest.Sign(b, h.e, key, signer, r)
}

// post submits requests from so many clients, and returns how long one takes.
func (h *hub) post(b *testing.B, kind string, count, clients int) time.Duration {
	requests := make([]swoosh.Request, count)
	for i := range requests {
		requests[i] = h.request(b, kind)
	}
	refused := kind == "refused" || kind == "forged"
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(count); n = next.Add(1) {
				if _, err := h.e.Submit(b.Context(), requests[n-1]); (err != nil) != refused {
					b.Errorf("%s: %v", kind, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start) / time.Duration(count)
}

func median[T time.Duration | float64](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkFleet measures what a signed, durable command costs in a fleet of 100 000 nodes
// (SWOOSH_FLEET_NODES), with 1 000 000 pairs that trust each other, beside the same in one of 100: each iteration
// is a pair, and the figures are medians. Besides: a reap of 1000 nodes, the start with
// that state, and a signature that is not good beside a command that is refused.
func BenchmarkFleet(b *testing.B) {
	nodes := 100_000
	if given := os.Getenv("SWOOSH_FLEET_NODES"); given != "" {
		var err error
		nodes, err = strconv.Atoi(given)
		require.NoError(b, err)
	}
	few, many := newHub(b, 100), newHub(b, nodes)
	for _, kind := range []string{"fleet.register", "fleet.heartbeat", "trust.give", "network.join"} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", kind, clients), func(b *testing.B) {
				count := 100 * min(clients, 6)
				if kind == "fleet.heartbeat" {
					count = 100 // One of each node: as of one stamp it counts once.
				}
				var ratios []float64
				var took []time.Duration
				for range b.N {
					small := few.post(b, kind, count, clients)
					large := many.post(b, kind, count, clients)
					ratios, took = append(ratios, large.Seconds()/small.Seconds()), append(took, large)
				}
				b.ReportMetric(float64(median(took).Microseconds()), "µs/command")
				b.ReportMetric(median(ratios), "×few")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
	b.Run("forged", func(b *testing.B) {
		var ratios []float64
		for range b.N {
			refused := many.post(b, "refused", 500, 1)
			ratios = append(ratios, many.post(b, "forged", 500, 1).Seconds()/refused.Seconds())
		}
		b.ReportMetric(median(ratios), "×refused")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("reap", func(b *testing.B) {
		var took []time.Duration
		for round := range b.N {
			seen := make([]string, 1000)
			for i := range seen {
				seen[i] = fmt.Sprintf(`"n%d"`, nodes/2+1000*round+i)
			}
			start := time.Now()
			_, err := many.e.Submit(b.Context(), swoosh.Request{Command: "fleet.reap", Payload: fmt.Appendf(nil, `{"before":%d,"nodes":[%s]}`, time.Now().Add(-time.Hour).UnixMilli(), strings.Join(seen, ","))})
			took = append(took, time.Since(start))
			require.NoError(b, err)
		}
		b.ReportMetric(float64(median(took).Microseconds())/1000, "ms")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("start", func(b *testing.B) {
		var took []time.Duration
		for range b.N {
			require.NoError(b, many.e.Close(b.Context()))
			start := time.Now()
			many.open(b)
			_, ok := fleet.Domain.Of(many.e.View()).Nodes.Get("n2")
			took = append(took, time.Since(start))
			require.True(b, ok)
		}
		b.ReportMetric(median(took).Seconds(), "s")
		b.ReportMetric(0, "ns/op")
	})
}
