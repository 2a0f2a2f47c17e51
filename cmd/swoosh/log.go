package main

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newLog(s streams) *cobra.Command {
	var from, limit uint64
	var follow bool
	cmd := &cobra.Command{
		Use: "log [LOST-LOG] [--from INDEX] [--limit N] [--follow]", Short: "Print the log's entries, a line each",
		Long: `Prints the entries as they were committed, a line of JSON each, to the end of
the log as it is now. With a log that a repair took out, such as
swoosh-data/lost/log-1, it prints that one; no server is needed. With --follow it
goes on with entries as they come, as swoosh watch does.`,
		Args: takes("[LOST-LOG]"),
	}
	c := newClient(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "index of the first entry (default: the first that is kept)")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "how many entries at most (default: all)")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with entries as they come, until ^C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("from") && from == 0 {
			return exitf(codeUsage, "--from is 0: entries are counted from 1")
		}
		if cmd.Flags().Changed("limit") && limit == 0 {
			return exitf(codeUsage, "--limit is 0: it must be 1 or more")
		}
		if follow && cmd.Flags().Changed("limit") {
			return exitf(codeUsage, "--follow has no end, so it takes no --limit")
		}
		if follow && len(args) == 1 {
			return exitf(codeUsage, "--follow is for a server's log: nothing comes behind %s", args[0])
		}
		if follow {
			return c.follow(cmd.Context(), s.out, max(from, 1))
		}
		if len(args) == 1 {
			return copyLost(s.out, args[0], from, limit)
		}
		query := url.Values{}
		if cmd.Flags().Changed("from") {
			query.Set("from", strconv.FormatUint(from, 10))
		}
		r := request{
			method: http.MethodGet, path: "/log", query: query, lost: codeUnreachable,
			header: map[string]string{"Accept": "application/x-ndjson"},
		}
		if !cmd.Flags().Changed("limit") {
			return c.copyTo(cmd.Context(), s.out, r)
		}
		answer, err := c.send(cmd.Context(), r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		return r.copyLines(s.out, answer.Body, limit)
	}
	return cmd
}

// copyLost prints a log that a repair took out. Another one is refused: only a
// server's start may open it, since it copies what Badger might cut off.
func copyLost(w io.Writer, dir string, from, limit uint64) error {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || filepath.Base(filepath.Dir(whole)) != "lost" {
		return exitf(codeUsage, "%s is not a log that a repair took out: name one such as swoosh-data/lost/log-1", dir)
	}
	wal, err := swoosh.OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return exitf(codeFailed, "%s cannot be read: %w", dir, err)
	}
	out := bufio.NewWriter(w)
	n := uint64(0)
	for record, err := range wal.Read(from, math.MaxUint64) {
		if err != nil {
			return errors.Join(exitf(codeDamaged, "%s: %w", dir, err), out.Flush(), wal.Close())
		}
		if _, err := out.Write(append(record.AppendJSON(nil), '\n')); err != nil {
			return errors.Join(err, wal.Close())
		}
		if n++; n == limit {
			break
		}
	}
	return errors.Join(out.Flush(), wal.Close())
}

// copyLines writes at most n lines.
func (r request) copyLines(w io.Writer, answer io.Reader, n uint64) error {
	lines := bufio.NewReader(answer)
	for range n {
		line, err := lines.ReadBytes('\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return r.cut(err)
		}
	}
	return nil
}
