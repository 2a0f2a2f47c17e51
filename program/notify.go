package program

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
)

// The server reports its state to the service manager, if there is one
// (sd_notify(3)). A report that fails is not a reason to stop.

func notify(format string, args ...any) {
	_, _ = daemon.SdNotify(false, fmt.Sprintf(format, args...))
}

// extendStart is how much longer a start may take after each sign of progress.
const extendStart = 30 * time.Second

func notifyProgress(p swoosh.Progress) {
	done := fmt.Sprintf("replaying: %d of %d entries", p.Applied, p.Target)
	if p.Bytes > 0 {
		done = fmt.Sprintf("loading a snapshot: %d of %d bytes", p.Read, p.Bytes)
	}
	notify("STATUS=%s\nEXTEND_TIMEOUT_USEC=%d", done, extendStart.Microseconds())
}

// notifyReload reports that files are being reloaded, until the next READY=1.
func notifyReload() {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		notify("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
	}
}

// watchdog reports that the server is well until ctx ends. It does not while a sync
// hangs, so that the service manager can restart the server.
func watchdog(ctx context.Context, e *swoosh.Engine) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		if _, reason := e.Readiness(); reason != "stalled" {
			notify(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
