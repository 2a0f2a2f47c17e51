package program

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unixPrefix marks a --listen that is a socket in the file system.
const unixPrefix = "unix:"

// isOpenToOthers reports whether other machines may reach an address. A name can
// resolve to anything, so only localhost counts as loopback.
func isOpenToOthers(listen string) bool {
	if strings.HasPrefix(listen, unixPrefix) {
		return false
	}
	host, _, _ := net.SplitHostPort(listen)
	ip, err := netip.ParseAddr(host)
	return host != "localhost" && (err != nil || !ip.Unmap().IsLoopback())
}

func checkListen(listen string) error {
	if path, ok := strings.CutPrefix(listen, unixPrefix); ok {
		if path == "" || len(path) > 107 { // sockaddr_un holds 108 bytes with the zero after it.
			return exitf(codeUsage, "--listen %q: unix: must be followed by a path of 1 to 107 bytes", listen)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return exitf(codeUsage, "--listen %q is not an address: give a host and a port, such as 127.0.0.1:8420, or unix:PATH", listen)
	}
	return nil
}

// listenOn listens on an address. openToOthers allows one beyond loopback. group may
// use a socket in the file system; empty: this user alone.
func listenOn(address string, openToOthers bool, group string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return listenUnix(path, group)
	}
	ln, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, exitf(codeFailed, "%s is in use by another program: stop it, or give another --listen", address)
	case errors.Is(err, syscall.EACCES):
		return nil, exitf(codeFailed, "this user may not listen on %s: give a --listen with a port from 1024 on", address)
	case err != nil:
		return nil, exitf(codeFailed, "cannot listen on %s: %w", address, err)
	}
	// A name such as localhost may resolve to an unexpected address.
	if ip := ln.Addr().(*net.TCPAddr).IP; !openToOthers && !ip.IsLoopback() {
		_ = ln.Close() // Nothing was accepted.
		return nil, exitf(codeUsage, "--listen %s resolves to %s, which other machines reach: give 127.0.0.1 instead", address, ip)
	}
	return ln, nil
}

// listenUnix listens on a socket in the file system that only this user, and the
// group if there is one, can connect to. It replaces the socket of a dead server.
func listenUnix(path, group string) (net.Listener, error) {
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, exitf(codeFailed, "cannot listen on %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, exitf(codeFailed, "%s exists and is not a socket: remove it, or give another --listen", path)
	default:
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = c.Close() // It was only a probe.
		}
		if !errors.Is(err, syscall.ECONNREFUSED) { // Only this error means that no process listens.
			return nil, exitf(codeFailed, "%s is in use by another program: stop it, or give another --listen", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, exitf(codeFailed, "%s belongs to a dead server and cannot be removed: %w", path, err)
		}
	}
	ln, err := net.Listen("unix", path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exitf(codeFailed, "cannot listen on %s: its directory does not exist: create it first", path)
	}
	if err != nil {
		return nil, exitf(codeFailed, "cannot listen on %s: %w", path, err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // It would remove whatever has the name then.
	own := &socket{Listener: ln, path: path}
	if own.file, err = os.Lstat(path); err != nil {
		err = exitf(codeFailed, "%s cannot be closed to others: %w", path, err)
	} else {
		err = own.open(gid, group)
	}
	if err != nil {
		_ = own.Close() // Nothing was accepted.
		return nil, err
	}
	return own, nil
}

// groupID returns the id of a group; 0 if name is empty.
func groupID(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, exitf(codeUsage, "--socket-group: %w: create the group, or name another", err)
	}
	return strconv.Atoi(g.Gid)
}

// socket is a listener in the file system.
type socket struct {
	net.Listener
	path string
	file fs.FileInfo // nil: it is not known
}

// open closes the socket to all but this user and the group, if there is one. It
// has its group before it has the group's mode.
func (s *socket) open(gid int, group string) error {
	mode := fs.FileMode(0o600)
	if group != "" {
		mode = 0o660
		// A sandbox may forbid chown, also where it would change nothing.
		if s.file.Sys().(*syscall.Stat_t).Gid != uint32(gid) {
			if err := os.Chown(s.path, -1, gid); err != nil {
				return exitf(codeUsage, "--socket-group %s: %w: name a group that the server's user is in", group, err)
			}
		}
	}
	if err := os.Chmod(s.path, mode); err != nil {
		return exitf(codeFailed, "%s cannot be closed to others: %w", s.path, err)
	}
	return nil
}

// Close removes the socket too, unless a successor has made another one of the name.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if file, e := os.Lstat(s.path); err == nil && e == nil && s.file != nil && os.SameFile(file, s.file) {
		err = os.Remove(s.path)
	}
	return err
}
