package home

import (
	"crypto/sha256"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/stretchr/testify/require"
)

const markName = "/d/mark"

func markNumber(n byte) Mark {
	return Mark{Index: uint64(n) << 40, Chain: [32]byte{0: n, 31: 1}, StateHash: [32]byte{0: n, 31: 2}}
}

// newMark gives a mark with record 1 in it, on a disk that has it.
func newMark(t *testing.T) (*durable.Mem, *MarkFile) {
	t.Helper()
	m := durable.NewMem()
	require.NoError(t, m.MkdirAll("/d", 0o700))
	require.NoError(t, m.SyncDir("/"))
	k, err := CreateMark(m, markName, markNumber(1))
	require.NoError(t, err)
	return m, k
}

func putMark(t *testing.T, m *durable.Mem, b []byte) {
	t.Helper()
	require.NoError(t, durable.Replace(m, markName, func(f durable.File) error {
		_, err := f.Write(b)
		return err
	}))
}

func markBytes(t *testing.T, m *durable.Mem) []byte {
	t.Helper()
	b, err := durable.ReadFile(m, markName)
	require.NoError(t, err)
	return b
}

func requireMark(t *testing.T, m *durable.Mem, want Mark) {
	t.Helper()
	rec, found, damage := ReadMark(m, markName)
	require.NoError(t, damage)
	require.True(t, found)
	require.Equal(t, want, rec)
}

func TestMarkRoundTrip(t *testing.T) {
	m, k := newMark(t)
	requireMark(t, m, markNumber(1))
	requireMark(t, m.Crash(), markNumber(1))
	for n := byte(2); n < 9; n++ {
		require.NoError(t, k.Write(markNumber(n)))
		requireMark(t, m, markNumber(n))
	}
	requireMark(t, m.Crash(), markNumber(1))
	require.NoError(t, k.Sync())
	requireMark(t, m.Crash(), markNumber(8))
	require.NoError(t, k.Close(true))
	clean := markNumber(8)
	clean.Clean = true
	requireMark(t, m.Crash(), clean)

	_, err := CreateMark(m, markName, markNumber(8))
	require.NoError(t, err)
	requireMark(t, m.Crash(), markNumber(8))
}

func TestMarkCloseUnclean(t *testing.T) {
	m, k := newMark(t)
	require.NoError(t, k.Write(markNumber(2)))
	require.NoError(t, k.Close(false))
	requireMark(t, m, markNumber(2))
	requireMark(t, m.Crash(), markNumber(1))
	require.NoError(t, k.Sync(), "a late tick")
	require.ErrorIs(t, k.Write(markNumber(3)), os.ErrClosed)
	require.ErrorIs(t, k.Close(true), os.ErrClosed)
	requireMark(t, m, markNumber(2))
}

func TestMarkWritesSlotsInTurn(t *testing.T) {
	m, k := newMark(t)
	before := markBytes(t, m)
	require.Len(t, before, 2*markSlotBytes)
	for n := byte(2); n < 6; n++ {
		require.NoError(t, k.Write(markNumber(n)))
		after := markBytes(t, m)
		older := int(n+1) % 2 * markSlotBytes // the first Write goes to the second slot
		require.NotEqual(t, before[older:][:markSlotBytes], after[older:][:markSlotBytes])
		newer := markSlotBytes - older
		require.Equal(t, before[newer:][:markSlotBytes], after[newer:][:markSlotBytes])
		before = after
	}
}

func TestMarkTornAnywhere(t *testing.T) {
	m, k := newMark(t)
	require.NoError(t, k.Write(markNumber(2)))
	before := markBytes(t, m)
	require.NoError(t, k.Write(markNumber(3)))
	after := markBytes(t, m)
	for cut := range len(before) + 1 {
		front := append(slices.Clone(after[:cut]), before[cut:]...)
		back := append(slices.Clone(before[:cut]), after[cut:]...)
		for _, torn := range [][]byte{front, back} {
			putMark(t, m, torn)
			rec, found, damage := ReadMark(m, markName)
			require.NoError(t, damage)
			require.True(t, found)
			require.Contains(t, []Mark{markNumber(2), markNumber(3)}, rec)
		}
	}
}

func TestMarkEveryBitFlipped(t *testing.T) {
	m, k := newMark(t)
	require.NoError(t, k.Write(markNumber(2)))
	require.NoError(t, k.Write(markNumber(3)))
	sound := markBytes(t, m)
	for bit := range 8 * len(sound) {
		b := slices.Clone(sound)
		b[bit/8] ^= 1 << (bit % 8)
		putMark(t, m, b)
		want := markNumber(3)
		if bit/8 < markSlotBytes {
			want = markNumber(2) // the third record lies in the first slot
		}
		requireMark(t, m, want)

		b[(bit/8+markSlotBytes)%len(b)] ^= 1
		putMark(t, m, b)
		_, found, damage := ReadMark(m, markName)
		require.ErrorContains(t, damage, markName)
		require.NotErrorIs(t, damage, ErrNewerMark)
		require.False(t, found)
	}
}

func TestMarkMissingOrShort(t *testing.T) {
	m, k := newMark(t)
	require.NoError(t, k.Write(markNumber(2)))
	sound := markBytes(t, m)
	for size := range len(sound) {
		putMark(t, m, sound[:size])
		rec, found, damage := ReadMark(m, markName)
		require.Equal(t, size >= markSlotBytes, found, "%d bytes", size)
		require.Equal(t, size < markSlotBytes, damage != nil, "%d bytes", size)
		if found {
			require.Equal(t, markNumber(1), rec)
		}
	}
	require.NoError(t, m.Remove(markName))
	_, found, damage := ReadMark(m, markName)
	require.NoError(t, damage)
	require.False(t, found)
}

func TestMarkUnreadable(t *testing.T) {
	m, _ := newMark(t)
	for _, bad := range []string{"open", "read"} {
		m.Fail(failing(bad))
		_, found, damage := ReadMark(m, markName)
		require.ErrorIs(t, damage, errBroken)
		require.False(t, found)
	}
}

// sealMark gives a slot that was tampered with a good checksum.
func sealMark(slot []byte) {
	sum := sha256.Sum256(slot[:markSumAt])
	copy(slot[markSumAt:], sum[:])
}

var errBroken = errors.New("broken")

func failing(bad string) func(op, name string) error {
	return func(op, _ string) error {
		if op == bad {
			return errBroken
		}
		return nil
	}
}

// A newer format is refused in either slot, and only with a good checksum.
func TestMarkOfANewerFormat(t *testing.T) {
	m, _ := newMark(t)
	sound := markBytes(t, m)
	for slot := range 2 {
		b := slices.Clone(sound)
		s := b[slot*markSlotBytes:][:markSlotBytes]
		s[4], s[5], s[300] = 2, 0xff, 7
		putMark(t, m, b)
		requireMark(t, m, markNumber(1)) // damage, for now

		sealMark(s)
		putMark(t, m, b)
		_, found, damage := ReadMark(m, markName)
		require.EqualError(t, damage, markName+": format 2 is newer than this program reads (1): use the newer program")
		require.ErrorIs(t, damage, ErrNewerMark)
		require.False(t, found)
	}
}

// An unknown flag, a format that never was or a byte in the padding is not
// passed over, even with a good checksum.
func TestMarkStrict(t *testing.T) {
	m, k := newMark(t)
	require.NoError(t, k.Write(markNumber(2)))
	sound := markBytes(t, m)
	for _, at := range []int{0, 4, 5, 90, 479} {
		b := slices.Clone(sound)
		s := b[markSlotBytes:]
		s[at] ^= 1
		if at == 5 {
			s[at] = 2
		}
		sealMark(s)
		putMark(t, m, b)
		requireMark(t, m, markNumber(1))
	}
}

func TestMarkSyncsOnlyWhenWritten(t *testing.T) {
	m, k := newMark(t)
	syncs := 0
	m.Fail(func(op, _ string) error {
		if op == "sync" {
			syncs++
		}
		return nil
	})
	require.NoError(t, k.Sync())
	require.Equal(t, 0, syncs)
	require.NoError(t, k.Write(markNumber(2)))
	require.Equal(t, 0, syncs, "a Write waits for no disk")
	require.NoError(t, k.Sync())
	require.NoError(t, k.Sync())
	require.Equal(t, 1, syncs)
}

// A Write while the disk is busy neither waits nor is left out of the next sync.
func TestMarkWriteDuringSync(t *testing.T) {
	m, k := newMark(t)
	require.NoError(t, k.Write(markNumber(2)))
	var during error
	m.Fail(func(op, _ string) error {
		if op == "sync" {
			m.Fail(nil)
			during = k.Write(markNumber(3))
		}
		return nil
	})
	require.NoError(t, k.Sync())
	require.NoError(t, during)
	requireMark(t, m, markNumber(3))
	require.NoError(t, k.Write(markNumber(4)))
	require.NoError(t, k.Sync())
	requireMark(t, m.Crash(), markNumber(4))
}

// Commit writes while a ticker syncs; the race detector looks on.
func TestMarkFromTwoGoroutines(t *testing.T) {
	m, k := newMark(t)
	done := make(chan error)
	go func() {
		var errs []error
		for range 100 {
			errs = append(errs, k.Sync())
		}
		done <- errors.Join(errs...)
	}()
	for n := range byte(100) {
		require.NoError(t, k.Write(markNumber(n+2)))
	}
	require.NoError(t, <-done)
	require.NoError(t, k.Close(true))
	want := markNumber(101)
	want.Clean = true
	requireMark(t, m.Crash(), want)
}

// After a failure nothing more is written, so the record before stays, and the
// mark is never called clean.
func TestMarkFirstErrorIsFinal(t *testing.T) {
	for _, bad := range []string{"write", "sync"} {
		t.Run(bad, func(t *testing.T) {
			m, k := newMark(t)
			m.Fail(failing(bad))
			err := k.Write(markNumber(2))
			if bad == "sync" {
				require.NoError(t, err)
				err = k.Sync()
			}
			require.ErrorIs(t, err, errBroken)
			m.Fail(nil)
			after := markBytes(t, m)
			require.ErrorIs(t, k.Write(markNumber(3)), errBroken)
			require.ErrorIs(t, k.Sync(), errBroken)
			require.ErrorIs(t, k.Close(true), errBroken)
			require.Equal(t, after, markBytes(t, m))
			requireMark(t, m.Crash(), markNumber(1))
		})
	}
}

func TestMarkCreateFails(t *testing.T) {
	for _, bad := range []string{"open", "write", "sync", "syncdir", "rename"} {
		m, _ := newMark(t)
		m.Fail(failing(bad))
		k, err := CreateMark(m, markName, markNumber(2))
		require.ErrorIs(t, err, errBroken)
		require.Nil(t, k)
		m.Fail(nil)
		requireMark(t, m.Crash(), markNumber(1))
	}
}
