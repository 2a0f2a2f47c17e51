package home

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// replaceable returns a home with a replacement that is built and not decided
// for.
func replaceable(t *testing.T) (*durable.Mem, *Home, *Replacement) {
	t.Helper()
	m := durable.NewMem()
	h := At("/d", m)
	put := func(name, content string) {
		require.NoError(t, durable.Replace(m, name, func(f durable.File) error {
			_, err := f.Write([]byte(content))
			return err
		}))
	}
	for _, dir := range []string{"/d/log", "/d/imports"} {
		require.NoError(t, m.MkdirAll(dir, 0o700))
	}
	put("/d/log/00001.mem", "old log")
	put("/d/imports/a.json", "left")
	temp, err := h.Prepare()
	require.NoError(t, err)
	require.NoError(t, m.MkdirAll(temp+"/log", 0o700))
	put(temp+"/log/00001.mem", "new log")
	return m, h, &Replacement{Fresh: []string{"log", "snapshots"}, Gone: []string{"imports/a.json", "unclean"}}
}

var errBroken = errors.New("no operation works")

func requireFile(t *testing.T, h *Home, name, content string) {
	t.Helper()
	b, err := durable.ReadFile(h.FS, h.Path(name))
	require.NoError(t, err)
	require.Equal(t, content, string(b))
}

// TestReplacementBrokenOffAnywhere: until Finish is called again nothing is copied
// or made beside what is moving.
func TestReplacementBrokenOffAnywhere(t *testing.T) {
	for steps := 0; ; steps++ {
		m, h, r := replaceable(t)
		require.NoError(t, h.Commit(r))
		left := steps
		m.Fail(func(op, _ string) error {
			if op == "rename" || op == "remove" || op == "syncdir" {
				if left--; left < 0 {
					return errBroken
				}
			}
			return nil
		})
		err := h.Finish(r)
		m.Fail(nil)
		if err == nil {
			require.Greater(t, steps, 10)
			break
		}
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			pending, err := h.Replacement()
			require.NoError(t, err)
			if pending != nil {
				require.Equal(t, r, pending)
				require.NoError(t, h.Finish(pending))
			}
			requireFile(t, h, "log/00001.mem", "new log")
			requireFile(t, h, "lost/log-1/00001.mem", "old log")
			requireFile(t, h, "lost/log-1-imports-a.json", "left")
			last, err := h.LastReplacement()
			require.NoError(t, err)
			require.Equal(t, []string{"log", "imports/a.json"}, last.Replaced)

			back, err := h.TakeBack(last)
			require.NoError(t, err)
			_, err = h.Prepare()
			require.NoError(t, err)
			require.NoError(t, h.Commit(back))
			require.NoError(t, h.Finish(back))
			requireFile(t, h, "log/00001.mem", "old log")
			requireFile(t, h, "imports/a.json", "left")
			requireFile(t, h, "lost/log-2/00001.mem", "new log")
		})
	}
}

// TestReplacementOverwritesNothing: a name that is taken in lost/ stops it.
func TestReplacementOverwritesNothing(t *testing.T) {
	m, h, r := replaceable(t)
	require.NoError(t, h.Commit(r))
	require.NoError(t, m.MkdirAll("/d/lost/log-1", 0o700))
	require.ErrorContains(t, h.Finish(r), "/d/lost/log-1 is in the way of /d/log")
	requireFile(t, h, "log/00001.mem", "old log")
}
