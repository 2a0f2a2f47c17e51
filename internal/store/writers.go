package store

import (
	"io"
	"time"
)

// Counter counts what is written. After an error it writes nothing more.
type Counter struct {
	W   io.Writer
	N   int64 // bytes
	Err error // the first one
}

// Write writes b and counts it.
func (c *Counter) Write(b []byte) (int, error) {
	if c.Err != nil {
		return 0, c.Err
	}
	n, err := c.W.Write(b)
	c.N, c.Err = c.N+int64(n), err
	return n, err
}

// gentlePiece is how many bytes a gentle file takes before it rests.
const gentlePiece = 1 << 20

// Gentle returns a file that rests after each piece: it calls rest with the time
// since it last rested. So what writes it leaves the processors to others.
func Gentle(f File, rest func(worked time.Duration)) File {
	return &gentle{File: f, rest: rest, began: time.Now()}
}

type gentle struct {
	File
	rest  func(worked time.Duration)
	began time.Time
	bytes int
}

func (g *gentle) Write(b []byte) (int, error) {
	n, err := g.File.Write(b)
	if g.bytes += n; g.bytes >= gentlePiece {
		g.rest(time.Since(g.began))
		g.began, g.bytes = time.Now(), 0
	}
	return n, err
}
