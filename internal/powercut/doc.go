// Package powercut tests what is on the disk after the power has failed. The real
// program runs on a real file system, which lies on a loop device, which lies on a
// file that this package serves by FUSE. So it sees every block that the file
// system writes and every flush of the disk's cache, in order: the record.
//
// From the record it makes what a disk may hold if the power fails at a given
// moment. What was written before the last flush is there. Each later write is
// there or not, or only some of its sectors are. On each such disk the program
// must start by itself, with every command that it had acknowledged by then.
//
// It is a module of its own, so that programs that embed the engine do not depend
// on FUSE.
package powercut
