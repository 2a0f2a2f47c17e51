package swoosh_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// BenchmarkTimer submits commands beside a million deadlines that have not come,
// with a timer and without, by turns.
func BenchmarkTimer(b *testing.B) {
	with, without := withDeadlines(b, alarm), withDeadlines(b, newAlarm())
	for range 3 {
		b.Run("without", func(b *testing.B) { setAlarms(b, without) })
		b.Run("with", func(b *testing.B) { setAlarms(b, with) })
	}
}

func withDeadlines(b *testing.B, domain swoosh.Part) *swoosh.Engine {
	const pending, batch = 1_000_000, 1000
	o := vault("")
	o.Now = swooshtest.NewClock(int64(at(0))).Now
	e, err := swoosh.Open(context.Background(), o, domain)
	require.NoError(b, err)
	b.Cleanup(func() { closeEngine(b, e) })
	for i := range pending / batch {
		rs := make([]swoosh.Request, batch)
		for k := range rs {
			rs[k] = setting(noun.ID(fmt.Sprintf("a%d", i*batch+k)), 1000+i)
		}
		_, err := e.SubmitBatch(context.Background(), "", rs)
		require.NoError(b, err)
	}
	return e
}

func setAlarms(b *testing.B, e *swoosh.Engine) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := e.Submit(context.Background(), setting("a", 500)); err != nil {
				b.Error(err)
			}
		}
	})
}
