// Package reload reads files that say who may do what, and reads them again when
// they change.
package reload

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// LookEvery is the shortest time between two checks of a file by Get.
const LookEvery = time.Second

// Files is the content of files, read again when one of them changes. If that
// fails, reading is retried, since the cause may be temporary, such as too many
// open files.
type Files[T any] struct {
	Names     []string
	Read      func(old T) (T, error)                     // with an error, returns what holds meanwhile
	Differ    func(old, now T) (added, removed []string) // for the log; nil: nothing to name
	Meanwhile string                                     // what holds after a failure, in words
	Log       *slog.Logger
	Now       func() time.Time // nil: the system's

	mu      sync.Mutex
	looked  time.Time
	seen    string // look's result when the files were last read
	failing error  // of the last read
	value   T
}

// New reads the files for the first time, where any error is the
// caller's.
func New[T any](r *Files[T]) (*Files[T], error) {
	if r.Now == nil {
		r.Now = time.Now
	}
	r.seen = r.look()
	r.value, r.failing = r.Read(r.value)
	return r, r.failing
}

// Reload reads the files now.
func (r *Files[T]) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(r.look(), true)
}

// Failing returns why the last read failed; nil if it did not.
func (r *Files[T]) Failing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failing
}

// Get returns the content of the files, reading them again if they have
// changed.
func (r *Files[T]) Get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.Now(); now.Sub(r.looked) >= LookEvery {
		r.check()
	}
	return r.value
}

// Look reads the files again if they have changed, however short a time ago they were
// checked: who looks every second finds a change within a second.
func (r *Files[T]) Look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check()
}

func (r *Files[T]) check() {
	if seen := r.look(); seen != r.seen || r.failing != nil {
		_ = r.reload(seen, seen != r.seen) // It is logged, and kept.
	}
}

// reload reads the files and logs what came of it; a failure only with tell.
func (r *Files[T]) reload(seen string, tell bool) error {
	value, err := r.Read(r.value)
	about := []any{"files", strings.Join(r.Names, ", ")}
	if r.Differ != nil {
		added, removed := r.Differ(r.value, value)
		about = append(about, "added", strings.Join(added, ", "), "removed", strings.Join(removed, ", "))
	}
	switch {
	case err == nil:
		r.Log.Info("reloaded", about...)
	case tell:
		meanwhile := r.Meanwhile
		if IsPassing(err) {
			meanwhile = "the old content stays in force"
		}
		r.Log.Error("a file cannot be reloaded: "+meanwhile, append([]any{"why", err}, about...)...)
	}
	r.seen, r.failing, r.value = seen, err, value
	return err
}

// look returns a description of the files that changes when they do, even if a
// symbolic link is switched, as Kubernetes does.
func (r *Files[T]) look() string {
	r.looked = r.Now()
	var all strings.Builder
	for _, f := range r.Names {
		info, err := os.Stat(f)
		if err != nil {
			fmt.Fprintln(&all, err)
			continue
		}
		fmt.Fprintln(&all, info.Size(), info.ModTime().UnixNano(), info.Mode(), identity(info))
	}
	return all.String()
}
