package access

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// lookEvery is the shortest time between two checks of a file. A file is
// checked only when its content is needed.
const lookEvery = time.Second

// reloaded is the content of files, read again when one of them changes. If
// reading fails, the old content stays and reading is retried, since the cause
// may be temporary, such as too many open files.
type reloaded[T any] struct {
	files []string
	read  func() (T, error)
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	looked  time.Time
	seen    string // look's result when the files were last read
	failing bool   // the last read failed
	value   T
}

func newReloaded[T any](log *slog.Logger, read func() (T, error), files ...string) (*reloaded[T], error) {
	r := &reloaded[T]{files: files, read: read, log: log, now: time.Now}
	return r, r.Reload()
}

// Reload reads the files now. If that fails, the old content stays.
func (r *reloaded[T]) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(r.look())
}

// get returns the content of the files, reading them again if they have
// changed.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.looked) >= lookEvery {
		if seen := r.look(); seen != r.seen || r.failing {
			logged := seen == r.seen
			switch err := r.reload(seen); {
			case err == nil:
				r.log.Info("reloaded", "files", strings.Join(r.files, ", "))
			case !logged:
				r.log.Error("a file cannot be reloaded: the old content stays in force", "why", err)
			}
		}
	}
	return r.value
}

func (r *reloaded[T]) reload(seen string) error {
	value, err := r.read()
	r.seen, r.failing = seen, err != nil
	if err != nil {
		return err
	}
	r.value = value
	return nil
}

// look returns a description of the files that changes when they do, even if a
// symbolic link is switched, as Kubernetes does.
func (r *reloaded[T]) look() string {
	r.looked = r.now()
	var all strings.Builder
	for _, f := range r.files {
		info, err := os.Stat(f)
		if err != nil {
			fmt.Fprintln(&all, err)
			continue
		}
		fmt.Fprintln(&all, info.Size(), info.ModTime().UnixNano(), info.Mode(), inode(info))
	}
	return all.String()
}
