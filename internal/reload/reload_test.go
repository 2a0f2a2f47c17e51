package reload

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

// TestFiles: files are checked when their content is needed, at most once a
// second, and read if they changed. The result is logged.
func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	put("one")
	reads, now, passing := 0, time.Unix(1000, 0), false
	var log bytes.Buffer
	r, err := New(&Files[string]{Log: slog.New(slog.NewTextHandler(&log, nil)), Names: []string{file}, Meanwhile: "the old one holds", Read: func(old string) (string, error) {
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
	r.Now, r.looked = func() time.Time { return now }, now
	for _, step := range []struct {
		put   string
		after time.Duration
		want  string
		reads int
		says  string
	}{
		{"", time.Hour, "one", 1, ""},
		{"second", LookEvery - 1, "one", 1, ""},
		{"", 1, "second", 2, "reloaded"},
		{"", LookEvery, "second", 2, ""},
		{"broken", LookEvery, "second", 3, "a file cannot be reloaded: the old one holds\" why=\"it is broken\""},
		{"", LookEvery, "second", 4, ""},
		{"third", LookEvery, "third", 5, "reloaded"},
		{"", LookEvery, "third", 5, ""},
	} {
		if step.put != "" {
			put(step.put)
		}
		now = now.Add(step.after)
		require.Equal(t, step.want, r.Get())
		require.Equal(t, step.reads, reads, step)
		require.Contains(t, log.String(), step.says)
		require.Equal(t, step.says == "", log.Len() == 0, log.String())
		log.Reset()
	}
	put("at once")
	r.Look()
	require.Equal(t, "at once", r.Get(), "the time of a check is no bound for who looks")
	log.Reset()
	put("not yet")
	passing = true
	now = now.Add(LookEvery)
	require.Equal(t, "at once", r.Get())
	passing = false
	now = now.Add(LookEvery)
	require.Equal(t, "not yet", r.Get(), "what kept it from being read has passed")

	put("fourth")
	require.NoError(t, r.Reload())
	require.Equal(t, "fourth", r.value, "not only when somebody asks")
	require.NoError(t, os.Remove(file))
	now = now.Add(LookEvery)
	require.Equal(t, "fourth", r.Get())
	require.Contains(t, log.String(), "no such file")
}
