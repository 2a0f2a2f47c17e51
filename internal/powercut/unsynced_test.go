//go:build linux

package powercut

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unsyncedVariable in the environment makes this program run another one without
// some of its syncs, the names of which it holds.
const unsyncedVariable = "POWERCUT_UNSYNCED"

var syncs = map[string]uint32{
	"fsync":           unix.SYS_FSYNC,
	"fdatasync":       unix.SYS_FDATASYNC,
	"msync":           unix.SYS_MSYNC,
	"sync_file_range": unix.SYS_SYNC_FILE_RANGE,
	"syncfs":          unix.SYS_SYNCFS,
	"sync":            unix.SYS_SYNC,
}

// runUnsynced becomes the program of words. The kernel answers each of the named
// system calls with success and does nothing.
func runUnsynced(names []string, words []string) {
	runtime.LockOSThread()
	if err := drop(names); err != nil {
		panic(err)
	}
	_ = os.Unsetenv(unsyncedVariable)
	panic(syscall.Exec(words[0], words, os.Environ()))
}

// drop gives this thread, and what it executes, a filter of system calls.
func drop(names []string) error {
	const number = 0 // the offset of the call's number in what the filter sees
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for i, name := range names {
		over := uint8(len(names) - i) // the other comparisons, and what allows a call
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syncs[name], Jt: over})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO}, // with error number 0
	)
	p := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&p)), 0, 0)
}
