package twin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReaderWaitsForAChange of Badger's copy that comes after it has looked, and for
// no longer than the log is open.
func TestReaderWaitsForAChange(t *testing.T) {
	l := newLog(t.TempDir(), Options{})
	r := &reader{log: l, until: time.Now().Add(time.Hour)}
	changed, other := l.tables.next(), l.tables.next()
	require.Equal(t, changed, other)
	l.tables.fire()
	require.True(t, r.wait(changed), "it came before the wait")
	woken := make(chan bool, 2)
	for range 2 {
		changed := l.tables.next()
		go func() { woken <- (&reader{log: l, until: r.until}).wait(changed) }()
	}
	l.tables.fire()
	require.True(t, <-woken)
	require.True(t, <-woken)
	close(l.stop)
	require.False(t, r.wait(l.tables.next()))
	r.until = time.Now()
	l.stop = nil
	require.False(t, r.wait(l.tables.next()), "it has waited enough")
}
