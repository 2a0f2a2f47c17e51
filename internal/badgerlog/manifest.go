package badgerlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	badgertable "github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Manifest is the name of the file that names the tables.
//
// It is a magic text and the version of its format, then the length, checksum and
// bytes of a set of changes, all integers big-endian. Badger appends more sets.
// This package writes one, in which the tables are in the order of their keys,
// and replaces the file: a part of it is never a manifest.
const Manifest = badger.ManifestFilename

// manifestRewrite is the name of the manifest until it is durable.
const manifestRewrite = "MANIFEST-REWRITE"

// manifestHead is the magic text and version 8.
var manifestHead = []byte("Bdgr\x00\x00\x00\x08")

// lastLevel is where all tables are.
const lastLevel = 6

// writeManifest writes a new manifest beside the old one.
func writeManifest(fsys durable.FS, dir string, tables []Table) error {
	set := new(pb.ManifestChangeSet)
	for _, t := range tables {
		set.Changes = append(set.Changes, &pb.ManifestChange{
			Id:          t.ID,
			Op:          pb.ManifestChange_CREATE,
			Level:       lastLevel,
			Compression: uint32(options.Snappy),
		})
	}
	b, err := proto.Marshal(set)
	if err != nil {
		return err
	}
	m := binary.BigEndian.AppendUint32(bytes.Clone(manifestHead), uint32(len(b)))
	m = binary.BigEndian.AppendUint32(m, crc32.Checksum(b, y.CastagnoliCrcTable))
	return write(fsys, filepath.Join(dir, manifestRewrite), append(m, b...))
}

// commitManifest puts the new manifest in the place of the old one.
func commitManifest(fsys durable.FS, dir string) error {
	if err := fsys.Rename(filepath.Join(dir, manifestRewrite), filepath.Join(dir, Manifest)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// nameTables writes a manifest and puts it in the place of the old one.
func nameTables(fsys durable.FS, dir string, tables []Table) error {
	if err := writeManifest(fsys, dir, tables); err != nil {
		return err
	}
	return commitManifest(fsys, dir)
}

// readManifest returns the IDs of the tables in the log, by their keys. If there
// is no manifest, the error is a *Damage if there are tables, and
// fs.ErrNotExist otherwise.
func readManifest(dir string) (ids []uint64, err error) {
	name := filepath.Join(dir, Manifest)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if tables, e := filepath.Glob(filepath.Join(dir, "*"+tableExt)); e != nil || len(tables) > 0 {
			return nil, missing(name)
		}
	}
	var failed *fs.PathError
	if errors.As(err, &failed) && failed.Op == "read" && !durable.Refused(err) {
		return nil, damaged(name, err)
	}
	if err != nil {
		return nil, err
	}
	const head = 8 + 4 + 4
	if len(b) < head || !bytes.Equal(b[:8], manifestHead) || uint64(len(b)) != head+uint64(binary.BigEndian.Uint32(b[8:])) {
		return nil, damaged(name, "it is not as it was written")
	}
	set := new(pb.ManifestChangeSet)
	if crc32.Checksum(b[head:], y.CastagnoliCrcTable) != binary.BigEndian.Uint32(b[12:]) || proto.Unmarshal(b[head:], set) != nil {
		return nil, damaged(name, "its checksum does not match")
	}
	for _, c := range set.Changes {
		if c.Op != pb.ManifestChange_CREATE || c.Level != lastLevel {
			return nil, damaged(name, "it names tables otherwise than this program does")
		}
		ids = append(ids, c.Id)
	}
	return ids, nil
}

// Missing returns the table files that the manifest in dir names and that are not
// there. A manifest that cannot be read names none.
func Missing(dir string) (gone []string, err error) {
	ids, err := namedIn(dir)
	var d *Damage
	if errors.As(err, &d) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, id := range ids {
		name := badgertable.NewFilename(id, dir)
		switch _, err := os.Stat(name); {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, name)
		case err != nil:
			return nil, err
		}
	}
	slices.Sort(gone)
	return gone, err
}
