package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

func newLog(s streams) *cobra.Command {
	var from, limit uint64
	cmd := &cobra.Command{
		Use: "log [--from INDEX] [--limit N]", Short: "Print the log's entries, a line each",
		Long: `Prints the entries as they were committed, a line of JSON each, to the end of
the log as it is now.`,
		Args: takes(),
	}
	c := newClient(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "index of the first entry (default: the first that is kept)")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "how many entries at most (default: all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
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
		if limit == 0 {
			return exitf(codeUsage, "--limit is 0: it must be 1 or more")
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
