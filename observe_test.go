package swoosh_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// figure reads a metric of a registry: the value of a counter or a gauge, or
// the number of a histogram's observations. Labels are values, in the order of
// their names.
func figure(t testing.TB, from prometheus.Gatherer, name string, labels ...string) float64 {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if strings.Join(values, " ") != strings.Join(labels, " ") {
				continue
			}
			if h := m.GetHistogram(); h != nil {
				return float64(h.GetSampleCount())
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// TestMetrics counts what was done, and nothing else.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := newRig(t, swoosh.Options{Dir: t.TempDir(), Metrics: registry, DiskReserve: swoosh.DiskReserve})
	r.must(keyed("k", opening("a")))
	r.must(keyed("k", opening("a")))
	r.must(paying("a", 0))
	r.refused(swoosh.NotFound, paying("b", 1))
	r.refused(swoosh.UnknownCommand, swoosh.Request{Command: "ledger.invented"})
	_, err := r.SubmitBatch(context.Background(), "", []swoosh.Request{opening("b"), paying("b", 2)})
	require.NoError(t, err)
	wait, err := r.SubmitWaiting(context.Background(), paying("b", 1))
	require.NoError(t, err)
	_, err = wait(context.Background())
	require.NoError(t, err)
	hash := r.View().StateHash()
	_, err = importOf(r, &hash, document(t, r.View()))
	require.NoError(t, err)
	r.snapshot()
	for range r.Watch(context.Background(), 1) {
		require.Equal(t, 1.0, figure(t, registry, "swoosh_watchers"))
		break
	}
	for name, want := range map[string]float64{
		"swoosh_commands_total ledger.open changed":      2,
		"swoosh_commands_total ledger.open duplicate":    1,
		"swoosh_commands_total ledger.deposit unchanged": 1,
		"swoosh_commands_total ledger.deposit changed":   2,
		"swoosh_commands_total ledger.deposit not_found": 1,
		"swoosh_commands_total unknown unknown_command":  1,
		"swoosh_commands_total state.import unchanged":   1,
		"swoosh_index":              6,
		"swoosh_group_entries":      5,
		"swoosh_sync_seconds":       5,
		"swoosh_reduce_seconds":     5,
		"swoosh_snapshot_seconds":   1,
		"swoosh_snapshot_index":     6,
		"swoosh_watchers":           0,
		"swoosh_mode ready":         1,
		"swoosh_mode read_only":     0,
		"swoosh_queue_commands":     0,
		"swoosh_set_aside_files":    0,
		"swoosh_disk_reserve_bytes": swoosh.DiskReserve,
	} {
		words := strings.Fields(name)
		require.Equal(t, want, figure(t, registry, words[0], words[1:]...), name)
	}
	require.Positive(t, figure(t, registry, "swoosh_log_bytes"))
	require.Positive(t, figure(t, registry, "swoosh_disk_free_bytes"))

	_, err = swoosh.Open(context.Background(), swoosh.Options{Metrics: registry}, ledger)
	require.ErrorContains(t, err, "already has an engine's metrics")
	r.o.ForceReplay = true
	r.restart()
	require.Equal(t, 6.0, figure(t, registry, "swoosh_replay_applied_entries"))
	require.Equal(t, 6.0, figure(t, registry, "swoosh_replay_target_entries"))
	r.wal.Fail(false)
	_, err = r.Submit(context.Background(), paying("a", 1))
	requireKind(t, swoosh.OutcomeUnknown, err)
	require.Equal(t, 1.0, figure(t, registry, "swoosh_mode", "read_only"))
	require.Equal(t, 1.0, figure(t, registry, "swoosh_commands_total", "ledger.deposit", "outcome_unknown"))
}

// TestRefusalsCountFromZero: a rate over a counter that begins with 1 misses the
// first refusal.
func TestRefusalsCountFromZero(t *testing.T) {
	registry := prometheus.NewRegistry()
	swoosh.NewAPI(swoosh.APIOptions{Metrics: registry})
	families, err := registry.Gather()
	require.NoError(t, err)
	lines, _ := contract(t, "testdata/api_codes.txt")
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "swoosh_refusals_total" {
			for _, m := range f.GetMetric() {
				counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	for _, line := range lines {
		code, _, _ := strings.Cut(line, " ")
		require.Contains(t, counted, code)
		require.Zero(t, counted[code])
	}
	require.Len(t, counted, len(lines))
}

// TestTraces: a span of each submission, below the caller's.
func TestTraces(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	e := swooshtest.Open(t, swoosh.Options{Traces: provider}, ledger)
	ctx, caller := provider.Tracer("caller").Start(context.Background(), "work")
	_, err := e.Submit(ctx, opening("a"))
	require.NoError(t, err)
	_, err = e.Submit(ctx, opening("a"))
	requireKind(t, swoosh.Conflict, err)
	_, err = e.SubmitBatch(ctx, "", nil)
	requireKind(t, swoosh.MalformedRequest, err)
	var seen []string
	for _, s := range spans.Ended() {
		require.Equal(t, caller.SpanContext().SpanID(), s.Parent().SpanID())
		line := []string{s.Name()}
		for _, a := range s.Attributes() {
			line = append(line, string(a.Key)+"="+a.Value.Emit())
		}
		seen = append(seen, strings.Join(line, " "))
	}
	require.Equal(t, []string{
		"swoosh.submit swoosh.command=ledger.open swoosh.index=1",
		"swoosh.submit swoosh.command=ledger.open swoosh.code=conflict swoosh.unknown=false",
		"swoosh.submit_batch swoosh.commands=0 swoosh.code=malformed_request swoosh.unknown=false",
	}, seen)
	require.NoError(t, errors.Join(e.Close(context.Background())))
}

// TestOperationsNamesEachMetric, and the page, the rules and the dashboard name
// no metric that does not exist.
func TestOperationsNamesEachMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := newRig(t, swoosh.Options{Metrics: registry, Guards: []swoosh.Guard{saysYes{}}})
	swoosh.NewAPI(swoosh.APIOptions{Metrics: registry})
	r.must(opening("a"))
	// These are the program's, and those of domains with timers or signers.
	shown := map[string]bool{
		"swoosh_build_info": true, "swoosh_tls_certificate_expiry_timestamp_seconds": true, "swoosh_reload_failing": true, "swoosh_guard_failures_total": true,
		"swoosh_timer_fired_total": true, "swoosh_timer_refused_total": true,
		"swoosh_signatures_total": true,
		"swoosh_nodes":            true, "swoosh_networks": true, "swoosh_trust_pairs": true, "swoosh_task_executors": true, "swoosh_quarantined_scopes": true,
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		shown[f.GetName()] = true
	}
	name := regexp.MustCompile(`\bswoosh_[a-z_]+`)
	for _, file := range []string{"docs/OPERATIONS.md", "docs/operations/alerts.yml", "docs/operations/dashboard.json"} {
		page, err := os.ReadFile(file)
		require.NoError(t, err)
		named := map[string]bool{"swoosh_": true}
		for _, n := range name.FindAllString(string(page), -1) {
			named[n] = true
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				n = strings.TrimSuffix(n, suffix)
			}
			require.True(t, shown[n] || n == "swoosh_", "%s names %s", file, n)
			named[n] = true
		}
		for n := range shown {
			require.True(t, named[n] || !strings.HasSuffix(file, ".md"), "%s does not name %s", file, n)
		}
	}
}
