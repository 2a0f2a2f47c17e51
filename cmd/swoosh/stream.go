package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// stream sends lines of commands and prints a line for each. It fails if one was
// refused, or if its outcome is unknown.
func (c *client) stream(ctx context.Context, in io.Reader, out io.Writer) error {
	r := request{
		method: http.MethodPost, path: "/command", body: in, header: map[string]string{"Content-Type": "application/x-ndjson"},
		lost: codeUnknown, hint: "; lines with an idempotency_key may be sent again: they apply once",
	}
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	refused, unknown := 0, 0
	lines := bufio.NewReader(answer.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return streamEnd(refused, unknown)
		}
		if err != nil {
			return r.cut(err)
		}
		var p problem
		if json.Unmarshal(line, &p) == nil && p.Code != "" {
			refused++
			if p.Happened == "unknown" {
				unknown++
			}
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
}

func streamEnd(refused, unknown int) error {
	switch {
	case unknown > 0:
		return exitf(codeUnknown, "the outcome of %d lines is unknown: send them again with the same keys", unknown)
	case refused > 0:
		return exitf(codeFailed, "%d lines were refused; the answers say why", refused)
	}
	return nil
}
