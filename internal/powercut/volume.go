//go:build linux

package powercut

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// fileSystem is a file system that the program runs on.
type fileSystem struct {
	name string
	make []string // the command that makes one in a file; the flags leave no work for later, and discard nothing
}

var fileSystems = []fileSystem{
	{"ext4", []string{"mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"}},
	{"xfs", []string{"mkfs.xfs", "-q", "-f", "-K"}},
	{"btrfs", []string{"mkfs.btrfs", "-q", "-f", "-K"}},
}

// volume is a disk with a file system, mounted at dir/mnt.
type volume struct {
	disk *disk
	dir  string
	fuse *fuse.Server
}

// format returns a disk with a new file system. It needs room in dir.
func (f fileSystem) format(dir string) (image, error) {
	path := filepath.Join(dir, "formatted")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(path)
	if err := os.Truncate(path, diskSize); err != nil {
		return nil, err
	}
	if err := execute(append(f.make, path)...); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := image{}
	for offset := int64(0); offset < diskSize; offset += chunk {
		data := make([]byte, chunk)
		if _, err := io.ReadFull(file, data); err != nil {
			return nil, err
		}
		m.write(offset, data)
	}
	return m, nil
}

// chunk divides diskSize.
const chunk = 64 << 10

// mount mounts what is on the disk. dir is empty. All mounts belong to a namespace
// of this process, so that none outlives it; the loop device goes with its mount.
func (f fileSystem) mount(dir string, m image) (*volume, error) {
	v := &volume{disk: newDisk(m), dir: dir}
	for _, d := range []string{v.fileDir(), v.mountPoint()} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	if err := v.serve(); err != nil {
		return nil, err
	}
	err := execute("mount", "-t", f.name, "-o", "loop,nodiscard", filepath.Join(v.fileDir(), fileName), v.mountPoint())
	if err != nil {
		return nil, errors.Join(err, v.unserve())
	}
	return v, nil
}

// serve mounts the directory of the disk's file. It opens FUSE itself, so that no
// child inherits what it opens: the kernel gives up on the file system only when
// nothing has that open, and until then whatever waits for the disk cannot end.
func (v *volume) serve() error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,max_read=%d", fd, transferMost)
	if err := unix.Mount("powercut", v.fileDir(), "fuse.powercut", 0, options); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	v.fuse, err = fs.Mount(fmt.Sprintf("/dev/fd/%d", fd), &root{disk: v.disk}, &fs.Options{
		MountOptions: fuse.MountOptions{MaxWrite: transferMost, DisableSplice: true},
	})
	return err
}

// transferMost is the most bytes that one request reads or writes.
const transferMost = 1 << 20

func (v *volume) unserve() error {
	err := unix.Unmount(v.fileDir(), 0)
	if err == nil {
		v.fuse.Wait()
	}
	return err
}

func (v *volume) fileDir() string    { return filepath.Join(v.dir, "disk") }
func (v *volume) mountPoint() string { return filepath.Join(v.dir, "mnt") }

// unmount ends the volume. Nothing uses its files.
func (v *volume) unmount() error {
	err := execute("umount", v.mountPoint())
	if err != nil {
		err = errors.Join(err, execute("umount", "--lazy", v.mountPoint()))
	}
	return errors.Join(err, v.unserve())
}

func execute(words ...string) error {
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", words, err, out)
	}
	return nil
}

const fileName = "disk"

// root is the directory of the one file.
type root struct {
	fs.Inode
	disk *disk
}

var (
	_ fs.NodeOnAdder   = (*root)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
)

// OnAdd makes the file.
func (r *root) OnAdd(ctx context.Context) {
	r.AddChild(fileName, r.NewPersistentInode(ctx, &file{disk: r.disk}, fs.StableAttr{}), false)
}

// file is the disk as a file, the one behind the loop device.
type file struct {
	fs.Inode
	disk *disk
}

// Getattr returns the file's size and mode.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, diskSize
	return 0
}

// Open asks for direct I/O: a write that waited in the cache of the file would not
// be in the record before the flush after it.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read reads from the disk.
func (f *file) Read(_ context.Context, _ fs.FileHandle, to []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	f.disk.read(offset, to)
	return fuse.ReadResultData(to), 0
}

// Write writes to the disk.
func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, offset int64) (uint32, syscall.Errno) {
	if offset%sectorSize != 0 || len(data)%sectorSize != 0 {
		return 0, syscall.EINVAL
	}
	f.disk.write(offset, data)
	return uint32(len(data)), 0
}

// Fsync flushes the disk. The loop device asks for it when it is flushed, and after
// a write that must go through the cache.
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.disk.flush()
	return 0
}
