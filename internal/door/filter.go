package door

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Filter says which entries of the log are wanted; nil wants all. Of its
// conditions, all must hold.
type Filter struct {
	Names   []string // of commands; with no Regions either: any
	Regions []string // with their dot
	Key     string   // idempotency key; empty: any

	// KeyEnd is the last entry of the newest batch that has Key: only the first
	// entry of a batch says its key.
	KeyEnd uint64
}

// AddCommands adds the commands of a list, with commas between them: a known name,
// or region.* for all of a region. The error names the one that is neither.
func (f *Filter) AddCommands(list string, known []string) error {
	for name := range strings.SplitSeq(list, ",") {
		region, all := strings.CutSuffix(name, "*")
		isRegion := all && strings.HasSuffix(region, ".") && slices.ContainsFunc(known, func(c string) bool { return strings.HasPrefix(c, region) })
		switch {
		case isRegion:
			f.Regions = append(f.Regions, region)
		case slices.Contains(known, name):
			f.Names = append(f.Names, name)
		default:
			return unknown(name, known)
		}
	}
	return nil
}

func unknown(name string, known []string) error {
	for _, c := range known {
		region, _, _ := strings.Cut(c, ".")
		known = append(known, region+".*")
	}
	hint := "name commands with commas between them, or all of a region as region.*; GET /commands lists them"
	if near := canon.Nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %s? GET /commands lists them all", near)
	}
	return fmt.Errorf("%s, which is no command: %s", canon.Quote(name), hint)
}

// Wants reports whether an entry passes. Call it for the entries in their order.
// It reads no more than it must: an entry's members are in the order of their
// names, and in front of command and hlc no value has a member of these names.
func (f *Filter) Wants(index uint64, entry []byte) bool {
	if f == nil {
		return true
	}
	front, rest, _ := bytes.Cut(entry, []byte(`"command":"`))
	command, rest, _ := bytes.Cut(rest, []byte(`"`))
	return f.wantsKey(index, front, rest) && f.wantsCommand(string(command))
}

func (f *Filter) wantsCommand(command string) bool {
	return len(f.Names)+len(f.Regions) == 0 || slices.Contains(f.Names, command) ||
		slices.ContainsFunc(f.Regions, func(region string) bool { return strings.HasPrefix(command, region) })
}

// wantsKey gets the entry in front of its command, and behind it.
func (f *Filter) wantsKey(index uint64, front, behind []byte) bool {
	if f.Key == "" || index <= f.KeyEnd {
		return true
	}
	_, rest, _ := bytes.Cut(behind, []byte(`"hlc":"`))
	_, rest, _ = bytes.Cut(rest, []byte(`",`))
	if !bytes.HasPrefix(rest, []byte(`"idempotency_key":"`+f.Key+`"`)) {
		return false
	}
	f.KeyEnd = index + max(batchCount(front), 1) - 1
	return true
}

// batchCount returns the count of the member batch, or 0 if there is none. Besides
// it there are only texts in front of the command, whose quotes are escaped.
func batchCount(front []byte) uint64 {
	_, rest, _ := bytes.Cut(front, []byte(`"batch":{"count":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, _ := strconv.ParseUint(string(digits), 10, 64)
	return n
}
