package door

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Lines reads the lines of a body.
type Lines struct {
	Number int // of the last line that Next returned, from 1

	r   *bufio.Reader
	max int // bytes of a line, without the newline
	buf []byte
}

// NewLines returns a reader for lines of at most max bytes.
func NewLines(r io.Reader, max int) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 64<<10), max: max}
}

// ErrLineTooLong is returned by Next for a line of more than max bytes. The
// next call returns the line after it.
var ErrLineTooLong = errors.New("the line is too long")

// Next returns the next line without its newline, valid until the next call.
// The last line may lack a newline, unless the body was cut short. At the end
// Next returns io.EOF.
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
