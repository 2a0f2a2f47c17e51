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

// reloaded is the content of files, read again when one of them changes. If that
// fails, reading is retried, since the cause may be temporary, such as too many
// open files.
type reloaded[T any] struct {
	files     []string
	read      func(old T) (T, error)                     // with an error, returns what holds meanwhile
	differ    func(old, now T) (added, removed []string) // for the log; nil: nothing to name
	meanwhile string                                     // what holds after a failure, in words
	log       *slog.Logger
	now       func() time.Time // nil: the system's

	mu      sync.Mutex
	looked  time.Time
	seen    string // look's result when the files were last read
	failing error  // of the last read
	value   T
}

// newReloaded reads the files for the first time, where any error is the
// caller's.
func newReloaded[T any](r *reloaded[T]) (*reloaded[T], error) {
	if r.now == nil {
		r.now = time.Now
	}
	r.seen = r.look()
	r.value, r.failing = r.read(r.value)
	return r, r.failing
}

// Reload reads the files now.
func (r *reloaded[T]) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(r.look(), true)
}

// Failing returns why the last read failed; nil if it did not.
func (r *reloaded[T]) Failing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failing
}

// get returns the content of the files, reading them again if they have
// changed.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.looked) >= lookEvery {
		if seen := r.look(); seen != r.seen || r.failing != nil {
			_ = r.reload(seen, seen != r.seen) // It is logged, and kept.
		}
	}
	return r.value
}

// reload reads the files and logs what came of it; a failure only with tell.
func (r *reloaded[T]) reload(seen string, tell bool) error {
	value, err := r.read(r.value)
	about := []any{"files", strings.Join(r.files, ", ")}
	if r.differ != nil {
		added, removed := r.differ(r.value, value)
		about = append(about, "added", strings.Join(added, ", "), "removed", strings.Join(removed, ", "))
	}
	switch {
	case err == nil:
		r.log.Info("reloaded", about...)
	case tell:
		meanwhile := r.meanwhile
		if isPassing(err) {
			meanwhile = "the old content stays in force"
		}
		r.log.Error("a file cannot be reloaded: "+meanwhile, append([]any{"why", err}, about...)...)
	}
	r.seen, r.failing, r.value = seen, err, value
	return err
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
		fmt.Fprintln(&all, info.Size(), info.ModTime().UnixNano(), info.Mode(), identity(info))
	}
	return all.String()
}
