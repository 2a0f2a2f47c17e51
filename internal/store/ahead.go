package store

import "io"

// ReadAhead returns a reader of r that reads on a goroutine of its own, up to 256
// KiB ahead. There it calls seen with every chunk, in order; seen must not change
// or keep it. The reader must be read to its end or an error: that ends the
// goroutine, and seen has then seen all that was read.
func ReadAhead(r io.Reader, seen func(chunk []byte)) io.Reader {
	a := &ahead{chunks: make(chan chunk), spent: make(chan []byte, aheadChunks)}
	for range aheadChunks {
		a.spent <- make([]byte, aheadBytes)
	}
	go a.run(r, seen)
	return a
}

const aheadBytes, aheadChunks = 64 << 10, 4

type ahead struct {
	chunks chan chunk
	spent  chan []byte // to be filled again
	now    chunk
	rest   []byte // of now
}

// chunk is a part of a file, and the error after it.
type chunk struct {
	b   []byte
	err error
}

func (a *ahead) run(r io.Reader, seen func([]byte)) {
	for b := range a.spent {
		n, err := io.ReadFull(r, b)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		seen(b[:n])
		a.chunks <- chunk{b[:n], err}
		if err != nil {
			return
		}
	}
}

func (a *ahead) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.b != nil {
			a.spent <- a.now.b[:aheadBytes]
		}
		a.now = <-a.chunks
		a.rest = a.now.b
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}
