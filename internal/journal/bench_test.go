package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// BenchmarkAppend appends groups of 64 entries of 300 bytes, and does the same
// writes and syncs in one file that is filled with zeros.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []uint64{1, 64, 256} {
		body := groupOf(1, n, 300).Body
		b.Run(fmt.Sprintf("journal/%d", n), func(b *testing.B) {
			j := sized(b, durable.OS(), filepath.Join(b.TempDir(), "journal"), rawBytes)
			require.NoError(b, j.needSpare())
			b.SetBytes(int64(len(body)))
			last := uint64(0)
			for b.Loop() {
				require.NoError(b, j.Append(Group{First: last + 1, Last: last + n, Body: body}))
				last += n
				j.Release(last)
			}
		})
		b.Run(fmt.Sprintf("file/%d", n), func(b *testing.B) {
			f, err := durable.OS().OpenFile(filepath.Join(b.TempDir(), "file"), os.O_CREATE|os.O_RDWR, 0o600)
			require.NoError(b, err)
			defer f.Close()
			_, err = f.Write(make([]byte, rawBytes))
			require.NoError(b, err)
			require.NoError(b, f.Sync())
			record := make([]byte, roundUp(headerBytes+len(body), blockBytes))
			b.SetBytes(int64(len(body)))
			at := 0
			for b.Loop() {
				if at+len(record) > rawBytes {
					at = 0
				}
				_, err := f.WriteAt(record, int64(at))
				require.NoError(b, err)
				require.NoError(b, f.Datasync())
				at += len(record)
			}
		})
	}
}

// BenchmarkRead reads a log of 32 MB in groups of 64 entries of 300 bytes.
func BenchmarkRead(b *testing.B) {
	j := sized(b, durable.OS(), filepath.Join(b.TempDir(), "journal"), rawBytes)
	var groups []Group
	bytes := 0
	for first := uint64(1); bytes < 32<<20; first += 64 {
		g := groupOf(first, first+63, 300)
		groups, bytes = append(groups, g), bytes+len(g.Body)
	}
	j.work.Lock() // Nothing is sealed meanwhile.
	for _, g := range groups {
		require.NoError(b, j.Append(g))
	}
	all := func(b *testing.B) {
		b.SetBytes(int64(bytes))
		for b.Loop() {
			n := 0
			for g, err := range j.Read(1, groups[len(groups)-1].Last) {
				require.NoError(b, err)
				n += len(g.Body)
			}
			require.Equal(b, bytes, n)
		}
	}
	b.Run("raw", all)
	j.work.Unlock()
	require.NoError(b, j.Seal(context.Background()))
	b.Run("sealed", all)
	b.Run("one entry", func(b *testing.B) {
		for b.Loop() {
			for _, err := range j.Read(12345, 12345) {
				require.NoError(b, err)
			}
		}
	})
}

// BenchmarkSeal seals a raw file of 8 MiB.
func BenchmarkSeal(b *testing.B) {
	var groups []Group
	for first := uint64(1); first < 64*400; first += 64 {
		groups = append(groups, groupOf(first, first+63, 300))
	}
	for b.Loop() {
		p := &pack{size: rawBytes}
		for _, g := range groups {
			p.add(g)
		}
		_, data := p.finish()
		b.SetBytes(int64(p.body))
		b.ReportMetric(float64(len(data))/float64(p.body), "of-the-bytes")
	}
}
