package access

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReloaded: files are checked when their content is needed, at most once a
// second, and read if they changed. The result is logged.
func TestReloaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	put("one")
	reads, now, passing := 0, time.Unix(1000, 0), false
	var log bytes.Buffer
	r, err := newReloaded(&reloaded[string]{log: slog.New(slog.NewTextHandler(&log, nil)), files: []string{file}, meanwhile: "the old one holds", read: func(old string) (string, error) {
		reads++
		b, err := os.ReadFile(file)
		if string(b) == "broken" || passing {
			err = errors.New("it is broken")
		}
		if err != nil {
			return old, err
		}
		return string(b), nil
	}})
	require.NoError(t, err)
	r.now, r.looked = func() time.Time { return now }, now
	for _, step := range []struct {
		put   string
		after time.Duration
		want  string
		reads int
		says  string
	}{
		{"", time.Hour, "one", 1, ""},
		{"second", lookEvery - 1, "one", 1, ""},
		{"", 1, "second", 2, "reloaded"},
		{"", lookEvery, "second", 2, ""},
		{"broken", lookEvery, "second", 3, "a file cannot be reloaded: the old one holds\" why=\"it is broken\""},
		{"", lookEvery, "second", 4, ""},
		{"third", lookEvery, "third", 5, "reloaded"},
		{"", lookEvery, "third", 5, ""},
	} {
		if step.put != "" {
			put(step.put)
		}
		now = now.Add(step.after)
		require.Equal(t, step.want, r.get())
		require.Equal(t, step.reads, reads, step)
		require.Contains(t, log.String(), step.says)
		require.Equal(t, step.says == "", log.Len() == 0, log.String())
		log.Reset()
	}
	put("not yet")
	passing = true
	now = now.Add(lookEvery)
	require.Equal(t, "third", r.get())
	passing = false
	now = now.Add(lookEvery)
	require.Equal(t, "not yet", r.get(), "what kept it from being read has passed")

	put("fourth")
	require.NoError(t, r.Reload())
	require.Equal(t, "fourth", r.value, "not only when somebody asks")
	require.NoError(t, os.Remove(file))
	now = now.Add(lookEvery)
	require.Equal(t, "fourth", r.get())
	require.Contains(t, log.String(), "no such file")
}
