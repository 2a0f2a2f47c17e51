package client

import (
	"bufio"
	"bytes"
	"io"
)

// lineMaxBytes is more than any line that a swoosh server sends.
const lineMaxBytes = 2 << 20

// lineReader reads lines, each at most lineMaxBytes long.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 32<<10)}
}

// next returns a line without its end, which is LF or CR LF. The bytes are
// valid until the next call. At the end of the input it returns io.EOF. A last
// line without an end was cut short, and is an error.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	for {
		piece, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(piece) > lineMaxBytes {
			return nil, failure(NotSwoosh, No, nil, "a line has more than %d bytes, so it is not from a swoosh server", lineMaxBytes)
		}
		l.buf = append(l.buf, piece...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(bytes.TrimSuffix(l.buf, []byte("\n")), []byte("\r")), nil
		case err == io.EOF && len(l.buf) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// event is a server-sent event (HTML Living Standard, 9.2), or a comment, which
// only shows that the server is alive.
type event struct {
	isComment bool
	name      string
	id        string
	data      []byte // valid until the next event
}

// eventReader reads server-sent events.
type eventReader struct {
	lines *lineReader
	data  []byte
}

// next returns the next complete event; an event cut off before its blank line
// is dropped. It ignores unknown fields, and retry, since the client has its
// own backoff.
func (r *eventReader) next() (event, error) {
	var e event
	r.data = r.data[:0]
	for begun := false; ; {
		line, err := r.lines.next()
		if err != nil {
			return event{}, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0 && begun:
			e.data = bytes.TrimSuffix(r.data, []byte("\n"))
			return e, nil
		case len(line) == 0:
		case len(name) == 0:
			if !begun {
				return event{isComment: true}, nil
			}
		case string(name) == "event":
			e.name, begun = string(value), true
		case string(name) == "id":
			e.id, begun = string(value), true
		case string(name) == "data":
			if begun = true; len(r.data)+len(value) > lineMaxBytes {
				return event{}, failure(NotSwoosh, No, nil, "an event has more than %d bytes, so it is not from a swoosh server", lineMaxBytes)
			}
			r.data = append(append(r.data, value...), '\n')
		}
	}
}
