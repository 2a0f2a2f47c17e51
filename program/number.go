package program

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// Most values of the flags that have no other bound: what no machine reaches, and what
// can be computed with.
const (
	dayMost      = 24 * time.Hour
	centuryMost  = 100 * 365 * 24 * time.Hour
	bytesMost    = 1 << 50
	entriesMost  = 1<<53 - 1 // indexes are whole numbers of JSON
	rateMost     = 1_000_000
	watchersMost = 1_000_000 // connections, which the system bounds too
)

// bounded is the value of a flag that takes numbers, or durations, of a range.
type bounded[T cmp.Ordered] struct {
	pflag.Value
	is          *T
	least, most T
}

// bound keeps the value of a flag in a range, wherever it is set.
func bound[T cmp.Ordered](flags *pflag.FlagSet, name string, is *T, least, most T) {
	f := flags.Lookup(name)
	if f.DefValue == "0s" {
		f.DefValue = "0" // Help leaves that out.
	}
	f.Value = &bounded[T]{f.Value, is, least, most}
}

// Set is pflag.Value's.
func (b *bounded[T]) Set(text string) error {
	was := *b.is
	err := b.Value.Set(text)
	if err == nil && !(*b.is >= b.least && *b.is <= b.most) { // NaN is in no range.
		err = fmt.Errorf("it is not %s", b.takes())
	}
	if err != nil {
		*b.is = was
	}
	return err
}

// takes says in words what the flag takes.
func (b *bounded[T]) takes() string {
	form, what := "%v", "a whole number"
	switch any(b.least).(type) {
	case time.Duration:
		what = "a duration, such as 500ms, 30s or 2m,"
	case float64:
		form, what = "%.0f", "a number"
	}
	return fmt.Sprintf("%s from "+form+" to "+form, what, b.least, b.most)
}
