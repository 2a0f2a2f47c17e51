package client

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// TestEvents reads everything that the standard allows and a future server may
// send.
func TestEvents(t *testing.T) {
	stream := "retry: 1000\n\n:\n\n: a comment\nid: 1\nevent: entry\ndata: {\n: in between\ndata:}\n\nid:2\r\nevent:entry\r\ndata\r\nunheard: of\r\n\r\nevent: late\ndata: cut off\n"
	for _, r := range []io.Reader{strings.NewReader(stream), iotest.OneByteReader(strings.NewReader(stream)), iotest.DataErrReader(strings.NewReader(stream))} {
		events := eventReader{lines: newLineReader(r)}
		for _, want := range []event{
			{isComment: true}, {isComment: true},
			{name: "entry", id: "1", data: []byte("{\n}")},
			{name: "entry", id: "2", data: []byte{}},
		} {
			e, err := events.next()
			require.NoError(t, err)
			require.Equal(t, want.isComment, e.isComment)
			require.Equal(t, want.name+want.id+string(want.data), e.name+e.id+string(e.data))
		}
		_, err := events.next()
		require.Equal(t, io.EOF, err)
	}
}

// FuzzEvents checks that the reader uses bounded memory and returns only data
// from the lines it read.
func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: entry\ndata: x\n\n:\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		events, data := eventReader{lines: newLineReader(strings.NewReader(stream))}, 0
		for {
			e, err := events.next()
			if err != nil {
				require.True(t, err == io.EOF || err == io.ErrUnexpectedEOF || IsCode(err, NotSwoosh), err)
				break
			}
			data += len(e.data)
		}
		require.LessOrEqual(t, data, len(stream))
	})
}
