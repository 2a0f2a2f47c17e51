package swoosh

import (
	"bufio"
	"io"
	"time"
)

// SetHeartbeat changes how often a watch gets a comment.
func (a *API) SetHeartbeat(d time.Duration) { a.heartbeat = d }

// SetAskEvery changes how often it is asked who sent a stream or a watch.
func (a *API) SetAskEvery(d time.Duration) { a.askEvery = d }

// SetUnreadMost changes how long a stream's answers may lie unread.
func (a *API) SetUnreadMost(d time.Duration) { a.unreadMost = d }

// SetStopGrace changes how long answers without an end have for their last
// words.
func (a *API) SetStopGrace(d time.Duration) { a.stopGrace = d }

// SetRates gives the bound of callers' rates its clock, in Unix ms, and how it
// waits; nil for one that nobody asks.
func (a *API) SetRates(nowMS func() int64, after func(time.Duration) <-chan time.Time) {
	a.rates.now, a.rates.after = func() time.Time { return time.UnixMilli(nowMS()) }, after
}

// Buckets counts the callers that are remembered.
func (a *API) Buckets() int { return len(a.rates.buckets) }

// BucketsMax is how many there can be.
const BucketsMax = bucketsMax

// Limits of the API, in bytes.
const (
	CommandMaxBytes   = commandMaxBytes
	BatchBodyMaxBytes = batchBodyMaxBytes
	OutboxMaxBytes    = outboxMaxBytes
)

// ReadLines reads a stream's lines: those that are too long are nil. The error
// is the one that ended it.
func ReadLines(r io.Reader) (lines [][]byte, err error) {
	l := lineReader{r: bufio.NewReaderSize(r, 16)}
	for {
		line, err := l.next()
		switch err {
		case nil:
			lines = append(lines, append([]byte{}, line...))
		case errLineTooLong:
			lines = append(lines, nil)
		default:
			return lines, err
		}
	}
}
