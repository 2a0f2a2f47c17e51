package badgerlog

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// logger is Badger's logger. Some damage, such as a table that it leaves out,
// Badger only logs. So a log is not opened if Badger has logged an error.
type logger struct {
	log   *slog.Logger
	first atomic.Pointer[string]
}

// tripped returns the first error that Badger logged.
func (l *logger) tripped() error {
	if text := l.first.Load(); text != nil {
		return fmt.Errorf("badger reported: %s", *text)
	}
	return nil
}

func (l *logger) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.first.CompareAndSwap(nil, &text)
	l.log.Error("badger: " + text)
}

func (l *logger) Warningf(format string, args ...any) {
	level := slog.LevelWarn
	if strings.Contains(format, "might be too small") || strings.HasPrefix(format, "Cache life") { // The cache is small on purpose: see badgerOptions.
		level = slog.LevelDebug
	}
	l.say(level, format, args)
}
func (l *logger) Infof(format string, args ...any)  { l.say(slog.LevelDebug, format, args) }
func (l *logger) Debugf(format string, args ...any) { l.say(slog.LevelDebug, format, args) }

func (l *logger) say(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
