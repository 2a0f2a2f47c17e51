package door

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Lines reads the lines of a body.
type Lines struct {
	Number int // of the line that Next returned last, from 1

	r   *bufio.Reader
	max int // bytes of a line, without its end
	buf []byte
}

// NewLines returns a reader of lines of at most max bytes.
func NewLines(r io.Reader, max int) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 64<<10), max: max}
}

// ErrLineTooLong is the error of Next for a line of more than max bytes. Next
// returns the line after it when it is called again.
var ErrLineTooLong = errors.New("the line is too long")

// Next returns a line without its end, good until the next call. The last line
// needs no end, unless the body was cut short. After it the error is io.EOF.
func (l *Lines) Next() ([]byte, error) {
	l.Number++
	l.buf = l.buf[:0]
	long := false
	for {
		piece, err := l.r.ReadSlice('\n')
		if long = long || len(l.buf)+len(bytes.TrimSuffix(piece, []byte("\n"))) > l.max; !long {
			l.buf = append(l.buf, piece...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && (long || len(l.buf) > 0), err == nil:
			if long {
				return nil, ErrLineTooLong
			}
			return bytes.TrimSuffix(l.buf, []byte("\n")), nil
		}
		return nil, err
	}
}
