package powercut

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unsyncedVariable in the environment makes this program run another one without
// its syncs.
const unsyncedVariable = "SWOOSH_POWERCUT_UNSYNCED"

// runUnsynced becomes the program of words. The kernel answers each of its syncs
// with success and does nothing.
func runUnsynced(words []string) {
	runtime.LockOSThread()
	if err := dropSyncs(); err != nil {
		panic(err)
	}
	_ = os.Unsetenv(unsyncedVariable)
	panic(syscall.Exec(words[0], words, os.Environ()))
}

// dropSyncs gives this thread, and what it executes, a filter of system calls.
func dropSyncs() error {
	syncs := []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_MSYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE}
	const number = 0 // the offset of the call's number in what the filter sees
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for i, call := range syncs {
		drop := uint8(len(syncs) - i) // over the other comparisons and what allows a call
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: drop})
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
