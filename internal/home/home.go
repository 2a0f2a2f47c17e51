// Package home keeps the data directory of an engine: who uses it, the node's
// id, and which file stands where. It knows the names of the log's
// files and nothing of what they hold.
package home

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
)

// Home is a data directory:
//
//	lock        held while a process uses the directory
//	node        the node's id, made once
//	receipt_key what receipts are signed with, made once
//	made_by     the program that last ran here
//	journal/    the log, as groups were made durable
//	log/        the log once more, in Badger's tables
//	newest/     what is in no table yet
//	snapshots/  snapshots, and the key windows beside them
//	imports/    imported states that entries name
//	aside/      files that were found damaged
//	lost/       what repairs replaced, and entries that they could not keep
//	new/        a repair that was broken off
type Home struct {
	Dir  string
	FS   durable.FS
	Mark *Mark // of a directory without a journal; nil if there is none, or none that can be read

	unlock func() error
	lock   fs.FileInfo
}

// Damage is a file of the directory that cannot be used as it is.
type Damage struct {
	Detail string // what is wrong with which file
	Next   string // what to do
}

func (d *Damage) Error() string { return d.Detail + ": " + d.Next }

// At returns the home in dir without opening it: for a look at what is there.
func At(dir string, fsys durable.FS) *Home { return &Home{Dir: dir, FS: fsys} }

// Path returns the path of a name in the directory.
func (h *Home) Path(name string) string { return filepath.Join(h.Dir, name) }

// Open makes the directory if it is missing, and locks it. It refuses a directory
// that others own or may write, one that holds other things, one that is in use, and
// one without room, and leaves them untouched.
func Open(dir string, fsys durable.FS) (*Home, error) {
	if err := makeDir(fsys, dir); err != nil {
		return nil, fmt.Errorf("directory %s cannot be used: %w", dir, err)
	}
	h := At(dir, fsys)
	if err := h.checkOwner(); err != nil {
		return nil, err
	}
	if err := h.Recognise(); err != nil {
		return nil, err
	}
	if err := badgerlog.CheckRoom(fsys, dir); err != nil {
		return nil, fmt.Errorf("%w; nothing has been touched", err)
	}
	if err := h.checkFiles(); err != nil {
		return nil, fmt.Errorf("%w; nothing has been touched", err)
	}
	unlock, err := durable.Lock(h.Path("lock"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%s is in use by another process: stop that one first, or use another directory: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("directory %s cannot be locked: %w: it must be writable, even to look at it", dir, err)
	}
	h.unlock = unlock
	if h.lock, err = os.Stat(h.Path("lock")); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	if h.Mark, err = readMark(fsys, h.Path("mark")); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Close unlocks the directory.
func (h *Home) Close() error { return h.unlock() }

// MissingLog returns the damage of a directory whose log is gone, both copies of
// it; Next is empty. made_by, which is written later, shows that there was one, and so
// does a file that never was empty.
func (h *Home) MissingLog() *Damage {
	there := h.HasLog()
	says, emptied := h.logSays()
	switch {
	case there && says:
	case h.Mark != nil && h.Mark.Index > 0:
		return &Damage{Detail: fmt.Sprintf("%s is missing, it held entries up to %d", h.Path("log"), h.Mark.Index)}
	case !there && h.ReadMadeBy() != nil:
		return &Damage{Detail: fmt.Sprintf("%s and %s are missing", h.Path("journal"), h.Path("log"))}
	case emptied || there && h.ReadMadeBy() != nil:
		return &Damage{Detail: fmt.Sprintf("the files in %s, %s and %s are missing or empty", h.Path("journal"), h.Path("log"), h.Path("newest"))}
	}
	return nil
}

// logSays reports whether a file of the log has content, or cannot be looked at, and
// whether one is empty that has content from the moment in which it gets its name.
func (h *Home) logSays() (says, emptied bool) {
	for _, folder := range []string{"journal", "log", "newest"} {
		entries, err := h.FS.ReadDir(h.Path(folder))
		says = says || err != nil && !errors.Is(err, fs.ErrNotExist)
		for _, e := range entries {
			info, err := e.Info()
			switch {
			case err != nil || info.Size() > 0:
				says = true
			case e.Name() == badgerlog.Manifest || slices.Contains([]string{".sst", ".raw", ".zst"}, filepath.Ext(e.Name())):
				emptied = true
			}
		}
	}
	return says, emptied
}

// makeDir makes the directory durably if it is missing.
func makeDir(fsys durable.FS, dir string) error {
	if info, err := fsys.Stat(dir); err == nil && !info.IsDir() {
		return errors.New("it is a file: name a directory")
	}
	return durable.MkdirAll(fsys, dir)
}

// ours are the names that a directory may hold. A file system's own is among
// them, since a volume of its own is a good place.
var ours = []string{
	"lock", "node", "receipt_key", "made_by", "journal", "log", "log.tmp", "newest", "new", "snapshots", "imports", "aside", "lost", "lost+found",
	"mark", "unclean", // of directories without a journal
}

// Recognise refuses a directory that holds other things than ours, unless what
// only a swoosh writes is there too: a name such as log or lock proves nothing.
func (h *Home) Recognise() error {
	entries, err := h.FS.ReadDir(h.Dir)
	if err != nil {
		return fmt.Errorf("directory %s cannot be read: %w", h.Dir, err)
	}
	foreign := ""
	if i := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
		return !slices.Contains(ours, strings.TrimSuffix(e.Name(), durable.TempSuffix))
	}); i >= 0 {
		foreign = entries[i].Name()
	} else if _, foreign, err = h.lookIntoLog(); err != nil || foreign == "" {
		return err
	}
	if _, err := h.FS.Stat(h.Path("log/MANIFEST")); err == nil {
		return nil
	}
	if there, _, err := h.lookInto("journal", journal.IsFile); err == nil && there {
		return nil
	}
	return fmt.Errorf("%s is not empty and not a swoosh directory (it holds %s): name another one", h.Dir, foreign)
}

// Inspect refuses a directory that is missing, or that has nothing to look at:
// of an empty one a reader would say that its log is sound.
func (h *Home) Inspect() error {
	info, err := h.FS.Stat(h.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a directory: name the directory that serve was given by --dir", h.Dir)
	}
	if err != nil {
		return err
	}
	there, _, err := h.lookIntoLog()
	for _, name := range []string{"snapshots", "new", "made_by"} {
		if err == nil && !there {
			there, err = h.Has(name)
		}
	}
	if err != nil {
		return err
	}
	if there {
		return h.Recognise()
	}
	return fmt.Errorf("%s is not a swoosh directory, it has no log: name the directory that serve was given by --dir", h.Dir)
}

// lookIntoLog reports whether files of a log are in its folders, and what else is.
func (h *Home) lookIntoLog() (there bool, foreign string, err error) {
	for folder, ours := range map[string]func(string) bool{"log": badgerlog.IsFile, "journal": journal.IsFile, "newest": journal.IsFile} {
		is, other, err := h.lookInto(folder, ours)
		if err != nil {
			return there, other, err
		}
		there, foreign = there || is, cmp.Or(foreign, other)
	}
	return there, foreign, nil
}

// lookInto reports whether there are files of ours in a folder, and what else is.
func (h *Home) lookInto(folder string, ours func(name string) bool) (there bool, foreign string, err error) {
	entries, err := h.FS.ReadDir(h.Path(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, "", nil
	case errors.Is(err, syscall.ENOTDIR):
		return false, "a file " + folder, nil
	}
	for _, e := range entries {
		if ours(e.Name()) {
			there = true
		} else {
			foreign = folder + "/" + e.Name()
		}
	}
	return there, foreign, err
}

// Has reports whether something has that name.
func (h *Home) Has(name string) (bool, error) {
	_, err := h.FS.Stat(h.Path(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

// HasLog reports whether there is a copy of a log.
func (h *Home) HasLog() bool {
	for _, name := range []string{"journal", "log"} {
		if _, err := h.FS.Stat(h.Path(name)); !errors.Is(err, os.ErrNotExist) {
			return true
		}
	}
	return false
}

// LogBytes returns the disk space of both copies of the log; 0 for a nil Home, and
// if they cannot be listed.
func (h *Home) LogBytes() int64 {
	if h == nil {
		return 0
	}
	return h.bytesOf("journal") + h.bytesOf("log") + h.bytesOf("newest")
}

// bytesOf returns the disk space of a folder's files; 0 if they cannot be listed.
func (h *Home) bytesOf(folder string) int64 {
	var sum int64
	entries, _ := h.FS.ReadDir(h.Path(folder)) // A scrape cannot report an error.
	for _, e := range entries {
		info, err := h.FS.Stat(filepath.Join(h.Path(folder), e.Name()))
		if err != nil {
			continue // It was removed meanwhile.
		}
		n := info.Size()
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			n = stat.Blocks * 512 // Badger's files are sparse.
		}
		sum += n
	}
	return sum
}

// ReadNode returns the id kept in the directory, which check must accept. The
// error is fs.ErrNotExist if there is none, and a *Damage if it is no id.
func (h *Home) ReadNode(check func(string) error) (string, error) {
	b, err := durable.ReadFile(h.FS, h.Path("node"))
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if err := check(id); err != nil {
		return "", &Damage{
			Detail: fmt.Sprintf("%s is damaged: %v", h.Path("node"), err),
			Next:   "write the node's id into it, which is at the end of each stamp, or remove it, and a new one is made",
		}
	}
	return id, nil
}

// MakeNode makes a random id and keeps it in the directory: n and 8 hex digits.
func (h *Home) MakeNode() (string, error) {
	var b [4]byte
	_, _ = rand.Read(b[:]) // It never fails (crypto/rand).
	id := "n" + hex.EncodeToString(b[:])
	return id, h.KeepNode(id)
}

// KeepNode keeps an id in the directory.
func (h *Home) KeepNode(id string) error { return h.replace("node", []byte(id+"\n")) }

// ReceiptKey returns the key that is kept in the directory. If there is none, or none
// that can be read as one, it makes one, and fresh is why.
func (h *Home) ReceiptKey() (key ed25519.PrivateKey, fresh string, err error) {
	b, err := durable.ReadFile(h.FS, h.Path("receipt_key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh = "it is missing"
	case err != nil:
		return nil, "", err
	default:
		seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
		if err == nil && len(seed) == ed25519.SeedSize {
			return ed25519.NewKeyFromSeed(seed), "", nil
		}
		fresh = "it is damaged"
	}
	_, key, _ = ed25519.GenerateKey(rand.Reader) // It never fails (crypto/rand).
	return key, fresh, h.replace("receipt_key", []byte(hex.EncodeToString(key.Seed())+"\n"))
}

// ReadMadeBy returns what WriteMadeBy kept; nil if there is nothing.
func (h *Home) ReadMadeBy() []byte {
	b, err := durable.ReadFile(h.FS, h.Path("made_by"))
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(b)
}

// WriteMadeBy keeps what identifies the program that runs here.
func (h *Home) WriteMadeBy(text []byte) error {
	if bytes.Equal(text, h.ReadMadeBy()) {
		return nil
	}
	return h.replace("made_by", append(text[:len(text):len(text)], '\n'))
}

func (h *Home) replace(name string, content []byte) error {
	return durable.Replace(h.FS, h.Path(name), func(f durable.File) error {
		_, err := f.Write(content)
		return err
	})
}

// Tidy removes what a crash left that is not complete. In the directory itself it
// knows only what is written there so: other files are their owner's.
func (h *Home) Tidy() error {
	for _, name := range []string{"node", "receipt_key", "made_by", "log", "mark", "unclean", fresh} {
		if err := h.FS.RemoveAll(h.Path(name + durable.TempSuffix)); err != nil {
			return err
		}
	}
	for _, folder := range []string{"snapshots", "imports", "aside"} {
		entries, err := h.FS.ReadDir(h.Path(folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), durable.TempSuffix) && !e.IsDir() {
				if err := h.FS.Remove(filepath.Join(h.Path(folder), e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
