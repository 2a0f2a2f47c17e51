package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/chorus-services/swoosh/client"
)

// sendLines sends lines of commands and prints a line for each. It fails if one
// was refused, or if the outcome of one is unknown.
func sendLines(ctx context.Context, c *connection, out *output) error {
	api, err := c.reach(ctx)
	if err != nil {
		return err
	}
	in := &commandLines{r: bufio.NewReader(c.app.in), numbers: make(chan int, linesMost)}
	answers := &tally{out: out, progress: &progress{line: newStatus(c.app.err), what: "sending", unit: "commands"}}
	defer answers.progress.clear()
	c.under(answers.progress)
	for a, err := range api.Stream(ctx, in.all()) {
		if err != nil {
			return in.unanswered(c.app.failed(err))
		}
		number := <-in.numbers
		if err := answers.print(number, a); err != nil {
			return exitf(codeUnknown, "the answer to line %d cannot be printed: %w; it and the lines after it may have been applied", number, err)
		}
	}
	if in.err != nil {
		return exitf(codeFailed, "stdin cannot be read: %w", in.err)
	}
	return answers.end()
}

// linesMost is more than the commands that a client sends ahead of their answers.
const linesMost = 1024

// lineMaxBytes is more than a server accepts in a line, so that the server refuses.
const lineMaxBytes = 1 << 20

// commandLines reads commands, a line each.
type commandLines struct {
	r       *bufio.Reader
	numbers chan int // of the lines that are not answered yet, from 1
	err     error    // why reading failed; read after the stream
}

// all returns the commands. A line that is not a command becomes one that cannot be
// sent, so that it is answered in its turn.
func (l *commandLines) all() iter.Seq[client.Command] {
	return func(yield func(client.Command) bool) {
		for number := 1; ; number++ {
			line, err := l.next()
			if text := bytes.TrimSpace(line); len(text) > 0 {
				l.numbers <- number
				if !yield(parseCommand(text)) {
					return
				}
			}
			if err != nil {
				if err != io.EOF {
					l.err = err
				}
				return
			}
		}
	}
}

// next reads a line. Of a line that is too long it returns only enough to show that.
func (l *commandLines) next() ([]byte, error) {
	var line []byte
	for {
		piece, err := l.r.ReadSlice('\n')
		if len(line) <= lineMaxBytes {
			line = append(line, piece...)
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

func parseCommand(line []byte) client.Command {
	var command client.Command
	if len(line) > lineMaxBytes {
		return client.Command{Payload: noCommand{fmt.Errorf("it has more than %d bytes", lineMaxBytes)}}
	}
	if err := json.Unmarshal(line, &command); err != nil {
		return client.Command{Payload: noCommand{err}}
	}
	return command
}

// noCommand is the payload of a line that is not a command, with the reason.
type noCommand struct{ error }

// MarshalJSON fails, so that the client refuses the line.
func (n noCommand) MarshalJSON() ([]byte, error) { return nil, n.error }

// unanswered adds to an error which lines have no answer.
func (l *commandLines) unanswered(end error) error {
	select {
	case first := <-l.numbers:
		what := "have not been applied"
		if exitCode(end) == codeUnknown {
			what = "have no answer: send those with an idempotency_key again, they are applied once"
		}
		return exitf(exitCode(end), "%w; line %d and those after it %s", end, first, what)
	default:
		return end
	}
}

// tally prints the answers of a stream and counts them.
type tally struct {
	out                        *output
	progress                   *progress
	answered, refused, unknown int64
}

func (t *tally) print(line int, a client.Answer) error {
	t.answered++
	if t.out.width == 0 { // Otherwise the answers themselves are on the terminal.
		t.progress.show(t.answered, -1)
	}
	if a.Refused == nil {
		if t.out.json {
			return t.out.printJSON(a.Result)
		}
		return t.row(line, fmt.Sprint(a.Result.Index), green, outcomeOf(a.Result), a.Command.Name, string(a.Result.Result))
	}
	refused := *a.Refused
	if n, ok := a.Command.Payload.(noCommand); ok {
		refused = client.Error{Code: client.MalformedRequest, Detail: "the line is not a command: " + strings.TrimPrefix(strings.TrimPrefix(n.Error(), "jsontext: "), "json: "), Happened: client.No}
	}
	t.refused++
	if refused.Happened == client.Unknown {
		t.unknown++
	}
	if t.out.json {
		refused.Line = line
		return t.out.printJSON(&refused)
	}
	return t.row(line, "-", red, refused.Code, a.Command.Name, detailOf(&refused))
}

func (t *tally) row(line int, entry, colour, outcome, command, detail string) error {
	if t.answered == 1 {
		fmt.Fprintln(t.out, t.out.paint(bold, fmt.Sprintf("%7s  %8s  %-18s  %s", "LINE", "ENTRY", "OUTCOME", "COMMAND")))
	}
	_, err := fmt.Fprintf(t.out, "%7d  %8s  %s  %s\n", line, entry,
		t.out.paint(colour, pad(printable(outcome), 18)), printable(strings.Trim(command+": "+detail, ": ")))
	return err
}

func (t *tally) end() error {
	switch {
	case t.unknown > 0:
		return exitf(codeUnknown, "of %d commands the outcome of %d is unknown: send them again with the same keys", t.answered, t.unknown)
	case t.refused > 0:
		return exitf(codeFailed, "of %d commands %d were refused; the answers say why", t.answered, t.refused)
	}
	return nil
}
