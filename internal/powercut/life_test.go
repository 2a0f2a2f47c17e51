//go:build linux

package powercut

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// command is what is posted under a key.
type command struct{ key, body string }

// create returns the command that makes a project.
func create(project string) string {
	return fmt.Sprintf(`{"command":"project.create","payload":{"project":"%s","name":"%s"}}`, project, strings.Repeat("x", 200))
}

// electors is how many names of 60 characters a council's electorate has.
const electors = 1000

// batch makes projects, and plans and dissolves the council of each: the log
// grows, so that its files are full now and then, and the state does not.
func batch(key string, rng *rand.Rand) command {
	var all []string
	for i := range 5 {
		project := fmt.Sprintf("%s-%d", key, i)
		electorate := make([]string, electors)
		for k := range electorate {
			electorate[k] = fmt.Sprintf(`"%015x%015x%015x%015x"`, rng.Uint64()>>4, rng.Uint64()>>4, rng.Uint64()>>4, k)
		}
		all = append(all, create(project),
			fmt.Sprintf(`{"command":"council.plan","payload":{"project":"%s","roles":[{"name":"lead","seats":1}],"quorum":%d,"electorate":[%s]}}`,
				project, electors, strings.Join(electorate, ",")),
			fmt.Sprintf(`{"command":"council.dissolve","payload":{"project":"%s","reason":"done"}}`, project))
	}
	return command{key, "[" + strings.Join(all, ",") + "]"}
}

// answer is what a command's answer and its entry have in common.
type answer struct {
	Index     uint64 `json:"index"`
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"`
	Changed   bool   `json:"changed"`
}

// entry is what the checks read of an entry.
type entry struct {
	answer
	Key   string `json:"idempotency_key"`
	Batch struct {
		First uint64 `json:"first"`
		Count uint64 `json:"count"`
	} `json:"batch"`
}

func readEntry(line string) (e entry, err error) {
	err = json.Unmarshal([]byte(line), &e)
	return e, err
}

// acknowledged is a command with its answer, a batch's first, which the client had
// when the disk had seen so many events.
type acknowledged struct {
	answer
	command  command
	position int
}

// life is what happened on a disk while some servers ran there, each after another.
type life struct {
	fs     fileSystem
	before image
	record []event
	acks   []acknowledged // by position
	log    []string       // whole, at the end
	phases []int          // positions at which a server had started or ended, or was told to end

	servers []*server
}

// live mounts a disk, lets a life happen, and unmounts it.
func live(f fileSystem, dir string, m image, happen func(*volume, *life) error) (*life, error) {
	dir, err := os.MkdirTemp(dir, "volume-")
	if err != nil {
		return nil, err
	}
	v, err := f.mount(dir, m)
	if err != nil {
		return nil, err
	}
	l := &life{fs: f, before: m}
	l.mark(v)
	err = happen(v, l)
	for _, s := range l.servers {
		s.kill()
	}
	l.record = v.disk.record[:v.disk.position()]
	slices.SortStableFunc(l.acks, func(a, b acknowledged) int { return cmp.Compare(a.position, b.position) })
	return l, errors.Join(err, v.unmount(), os.RemoveAll(dir))
}

func (v *volume) data() string { return filepath.Join(v.mountPoint(), "data") }

// serve starts a server, which ends with the life at the latest.
func (l *life) serve(v *volume, unsynced []string) (*server, error) {
	s, err := serve(v.data(), unsynced)
	if err == nil {
		l.servers = append(l.servers, s)
		l.mark(v)
	}
	return s, err
}

func (l *life) mark(v *volume) { l.phases = append(l.phases, v.disk.position()) }

// begin lives on a new disk. Servers end in different ways while commands are
// written, each after so many.
func begin(f fileSystem, dir string, unsynced []string, commands int) (*life, error) {
	m, err := f.format(dir)
	if err != nil {
		return nil, err
	}
	return live(f, dir, m, func(v *volume, l *life) error {
		for i, end := range []func(*server) error{killed, (*server).stop, killed} {
			s, err := l.serve(v, unsynced)
			if err != nil {
				return err
			}
			ended := false
			refused := l.write(v, s, fmt.Sprintf("begin%d", i), func(answered int) bool {
				if answered == commands {
					l.mark(v)
					ended, err = true, end(s)
				}
				return false
			})
			if err != nil {
				return err
			}
			if !ended {
				return refused
			}
			l.mark(v)
		}
		s, err := l.serve(v, unsynced)
		if err != nil {
			return err
		}
		return l.end(v, s)
	})
}

func killed(s *server) error {
	s.kill()
	return nil
}

// writers is how many post at the same time.
const writers = 16

// write posts commands from several writers at a time. Each ends when enough
// reports true of the count of answers, or with an error, the first of which is
// returned: the server has ended, or refused what it must not.
func (l *life) write(v *volume, s *server, name string, enough func(answered int) bool) (refused error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	before := len(l.acks)
	for w := range writers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 0))
			for n := 0; ; n++ {
				key := fmt.Sprintf("%s-%d-%d", name, w, n)
				c := command{key, create(key)}
				if n%8 == 7 {
					c = batch(key, rng)
				}
				a, err := s.post(c)
				position := v.disk.position()
				mu.Lock()
				if err != nil { // What was posted may be in the log or not.
					refused = cmp.Or(refused, err)
					mu.Unlock()
					return
				}
				l.acks = append(l.acks, acknowledged{a, c, position})
				answered := len(l.acks) - before
				mu.Unlock()
				if enough(answered) {
					return
				}
			}
		})
	}
	all.Wait()
	return refused
}

// end reads the log, which holds every answer, and stops the server.
func (l *life) end(v *volume, s *server) error {
	var err error
	if l.log, err = s.log(); err != nil {
		return err
	}
	for _, a := range l.acks {
		if a.Index > uint64(len(l.log)) {
			return fmt.Errorf("entry %d was acknowledged and is not in the log of %d", a.Index, len(l.log))
		}
		if e, err := readEntry(l.log[a.Index-1]); err != nil || e.answer != a.answer || e.Key != a.command.key {
			return fmt.Errorf("key %s was answered with %+v, its entry is %s (%v)", a.command.key, a.answer, l.log[a.Index-1], err)
		}
	}
	l.mark(v)
	if err := s.stop(); err != nil {
		return err
	}
	l.mark(v)
	return verify(v.data())
}
