package home

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

func markOf(index byte) Mark {
	return Mark{Index: uint64(index), Chain: [32]byte{0: index, 31: 1}, StateHash: [32]byte{0: index, 31: 2}}
}

// slot returns a mark's slot as it was written before there was a journal.
func slot(sequence uint64, m Mark) []byte {
	b := make([]byte, markSlotBytes)
	copy(b, markMagic)
	b[4] = 1
	binary.BigEndian.PutUint64(b[6:], sequence)
	binary.BigEndian.PutUint64(b[14:], m.Index)
	copy(b[22:], m.Chain[:])
	copy(b[54:], m.StateHash[:])
	sum := sha256.Sum256(b[:markSumAt])
	copy(b[markSumAt:], sum[:])
	return b
}

// withMark returns a home whose mark has these bytes.
func withMark(t *testing.T, b []byte) (*durable.Mem, *Home) {
	t.Helper()
	m := durable.NewMem()
	require.NoError(t, m.MkdirAll("/d/unclean", 0o700))
	h := At("/d", m)
	require.NoError(t, h.replace("mark", b))
	var err error
	h.Mark, err = readMark(m, "/d/mark")
	require.NoError(t, err)
	return m, h
}

func TestReadMark(t *testing.T) {
	older, newer := slot(7, markOf(1)), slot(8, markOf(2))
	damaged := func(b []byte) []byte {
		b = append([]byte(nil), b...)
		b[30] ^= 4
		return b
	}
	second := markOf(2)
	first := markOf(1)
	for name, tc := range map[string]struct {
		b    []byte
		want *Mark
	}{
		"the second is newer": {append(older[:512:512], newer...), &second},
		"the first is newer":  {append(newer[:512:512], older...), &second},
		"the newer is broken": {append(older[:512:512], damaged(newer)...), &first},
		"both are broken":     {append(damaged(older), damaged(newer)...), nil},
		"cut off":             {older[:100], nil},
		"empty":               {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, h := withMark(t, tc.b)
			require.Equal(t, tc.want, h.Mark)
		})
	}
	found, err := readMark(durable.NewMem(), "/d/mark")
	require.NoError(t, err)
	require.Nil(t, found)
}

func TestCompareWithTheMark(t *testing.T) {
	has := func(m Mark) func(uint64) ([32]byte, [32]byte, error) {
		return func(index uint64) ([32]byte, [32]byte, error) {
			require.Equal(t, uint64(9), index)
			return m.Chain, m.StateHash, nil
		}
	}
	chain, hash := markOf(9), markOf(9)
	chain.Chain[3]++
	hash.StateHash[3]++
	for name, tc := range map[string]struct {
		last  uint64
		entry func(uint64) ([32]byte, [32]byte, error)
		index uint64
		says  string
	}{
		"as it was":          {9, has(markOf(9)), 0, ""},
		"further":            {12, has(markOf(9)), 0, ""},
		"behind":             {6, has(markOf(9)), 7, "entries 7 to 9 were durable and are missing from the log"},
		"another chain":      {9, has(chain), 9, "its chain is"},
		"another state hash": {9, has(hash), 9, "it says state_hash"},
		"unreadable": {9, func(uint64) (a, b [32]byte, err error) { return a, b, errors.New("no such entry") },
			9, "no such entry"},
	} {
		t.Run(name, func(t *testing.T) {
			_, h := withMark(t, slot(1, markOf(9)))
			index, detail := h.Compare(tc.last, tc.entry)
			require.Equal(t, tc.index, index)
			if tc.says == "" {
				require.Empty(t, detail)
			} else {
				require.Contains(t, detail, tc.says)
			}
		})
	}
	for name, b := range map[string][]byte{"of an empty log": slot(1, markOf(0)), "that cannot be read": nil} {
		_, h := withMark(t, b)
		_, detail := h.Compare(0, nil)
		require.Empty(t, detail, name)
	}
}

// TestTakeOver removes what the journal replaces, for good, whatever a crash leaves
// of it.
func TestTakeOver(t *testing.T) {
	for name, b := range map[string][]byte{"a mark": slot(1, markOf(9)), "one that cannot be read": []byte("x")} {
		t.Run(name, func(t *testing.T) {
			for steps := 0; ; steps++ {
				m, h := withMark(t, b)
				require.NoError(t, m.SyncDir("/d"))
				left := steps
				m.Fail(func(string, string) error {
					if left--; left < 0 {
						return errBroken
					}
					return nil
				})
				err := h.TakeOver()
				m.Fail(nil)
				if err != nil {
					require.ErrorIs(t, err, errBroken)
					h.Mark, err = readMark(m, "/d/mark")
					require.NoError(t, err)
					require.NoError(t, h.TakeOver())
				}
				h = At("/d", m.Crash())
				for _, name := range []string{"mark", "unclean"} {
					there, err := h.Has(name)
					require.NoError(t, err)
					require.False(t, there, "%s, step %d", name, steps)
				}
				if left >= 0 {
					require.Greater(t, steps, 1)
					break
				}
			}
		})
	}
}
