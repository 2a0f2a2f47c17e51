package swoosh

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Stamp is a reading of the hybrid logical clock (Kulkarni et al., "Logical
// Physical Clocks", 2014). Within one log, stamps only increase.
type Stamp struct {
	WallMS  uint64 // Unix milliseconds, below 2^48
	Counter uint16 // orders stamps of one millisecond
	Node    string // the issuing node, 1 to 63 characters of a-z, 0-9 and dash; breaks ties
}

// maxWallMS is the last millisecond that fits in 12 hex digits, in the year
// 10889.
const maxWallMS = 1<<48 - 1

// String returns 12 hex digits of milliseconds, 4 of counter, and the node,
// separated by dashes. Text order is time order.
func (t Stamp) String() string { return string(t.append(make([]byte, 0, 32))) }

func (t Stamp) append(b []byte) []byte {
	const digits = "0123456789abcdef"
	var head [12 + 1 + 4 + 1]byte
	for i := range 12 {
		head[i] = digits[t.WallMS>>(44-4*i)&15]
	}
	for i := range 4 {
		head[13+i] = digits[t.Counter>>(12-4*i)&15]
	}
	head[12], head[17] = '-', '-'
	return append(append(b, head[:]...), t.Node...)
}

// ParseStamp parses the form that String returns, and no other.
func ParseStamp(s string) (Stamp, error) {
	wrong := func() (Stamp, error) {
		return Stamp{}, fmt.Errorf("must be an hlc, <12 hex digits>-<4 hex digits>-<node>, not %s", canon.Quote(s))
	}
	if len(s) < 19 || s[12] != '-' || s[17] != '-' || strings.ToLower(s) != s {
		return wrong()
	}
	wall, err := strconv.ParseUint(s[:12], 16, 48)
	if err != nil || s[0] == '+' {
		return wrong()
	}
	counter, err := strconv.ParseUint(s[13:17], 16, 16)
	if err != nil || s[13] == '+' {
		return wrong()
	}
	if err := CheckNodeID(s[18:]); err != nil {
		return Stamp{}, fmt.Errorf("hlc %s: %w", canon.Quote(s), err)
	}
	return Stamp{WallMS: wall, Counter: uint16(counter), Node: s[18:]}, nil
}

// CheckNodeID returns an error unless s is a valid node id: 1 to 63 characters
// of a-z, 0-9 and dash.
func CheckNodeID(s string) error {
	ok := len(s) >= 1 && len(s) <= 63
	for i := range len(s) {
		c := s[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("a node must be 1 to 63 characters of a-z, 0-9 and dash, not %s", canon.Quote(s))
	}
	return nil
}

// Compare compares stamps by time, then counter, then node: the order of their
// texts.
func (t Stamp) Compare(u Stamp) int {
	return cmp.Or(cmp.Compare(t.WallMS, u.WallMS), cmp.Compare(t.Counter, u.Counter), strings.Compare(t.Node, u.Node))
}

// After reports whether t is later than u.
func (t Stamp) After(u Stamp) bool { return t.Compare(u) > 0 }

// IsZero reports whether t is the stamp of an empty log, whatever its node.
func (t Stamp) IsZero() bool { return t.WallMS == 0 && t.Counter == 0 }

// Time returns the milliseconds as a time in UTC.
func (t Stamp) Time() time.Time { return time.UnixMilli(int64(t.WallMS)).UTC() }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Stamp) JSONSchema() string {
	return `{"pattern":"^[0-9a-f]{12}-[0-9a-f]{4}-[a-z0-9-]{1,63}$","type":"string"}`
}

// AppendText appends the form that String returns.
func (t Stamp) AppendText(b []byte) ([]byte, error) { return t.append(b), nil }

// MarshalText returns the form that String returns.
func (t Stamp) MarshalText() ([]byte, error) { return t.append(nil), nil }

// UnmarshalText parses as ParseStamp does.
func (t *Stamp) UnmarshalText(b []byte) error {
	v, err := ParseStamp(string(b))
	*t = v
	return err
}

// clock issues stamps. One goroutine owns it.
type clock struct {
	wallMS func() int64
	node   string
	last   Stamp
}

// newClock returns a clock for node that reads Unix milliseconds from wallMS.
// Its first stamp is after last, even if the wall clock has gone back.
func newClock(wallMS func() int64, node string, last Stamp) *clock {
	return &clock{wallMS: wallMS, node: node, last: last}
}

// Next returns the stamp for an entry made now: later than the last stamp used
// and the caller's, and not before the wall clock. If the counter is exhausted,
// the millisecond advances. Until Use is called, Next returns the same stamp
// again.
func (c *clock) Next(caller Stamp) Stamp {
	floor := c.last
	if caller.After(floor) {
		floor = caller
	}
	wall := c.wall()
	switch {
	case wall > floor.WallMS:
		return Stamp{WallMS: wall, Node: c.node}
	case floor.Counter < 1<<16-1:
		return Stamp{WallMS: floor.WallMS, Counter: floor.Counter + 1, Node: c.node}
	default:
		return Stamp{WallMS: floor.WallMS + 1, Node: c.node}
	}
}

// Use records that a stamp from Next was used.
func (c *clock) Use(t Stamp) { c.last = t }

// Skewed reports whether to refuse a caller's stamp because it is more than max
// ahead of the wall clock and later than the last stamp used. So a stamp issued
// here stays valid even after the wall clock has gone back.
func (c *clock) Skewed(caller Stamp, max time.Duration) bool {
	return caller.After(c.last) && caller.WallMS > c.wall()+uint64(max.Milliseconds())
}

// wall returns the wall clock, limited to the range of a stamp.
func (c *clock) wall() uint64 { return uint64(min(max(c.wallMS(), 0), maxWallMS)) }
