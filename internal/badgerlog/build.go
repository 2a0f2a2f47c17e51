package badgerlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	badgertable "github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Build makes a new log of values in the order of their keys, as one commit of
// the given version. dir must be missing or empty. When Build returns nil, the
// log is durable. An error, also one that values yields, leaves an empty
// directory.
//
// Build writes the tables itself, because Badger maps its files: a full disk
// would end the process.
func Build(dir string, version uint64, values iter.Seq2[Value, error]) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	switch entries, err := os.ReadDir(dir); {
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("a log cannot be built in %s, which is not empty", dir)
	}
	b := &builder{dir: dir, version: version}
	err := b.build(values)
	if err == nil {
		return nil
	}
	for _, name := range b.written {
		if e := os.Remove(name); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// builder writes the files of a new log. While it fills a table, it writes the
// one before.
type builder struct {
	dir     string
	version uint64
	table   *badgertable.Builder // nil if none is begun
	writing errgroup.Group       // of at most one table
	written []string             // the files so far
	tables  []*pb.ManifestChange
}

func (b *builder) build(values iter.Seq2[Value, error]) error {
	err := b.fill(values)
	if err == nil {
		b.add(tailKey, tailValue)
		err = b.finish()
	}
	if b.table != nil {
		b.table.Finish() // This ends its goroutines.
		b.table.Close()
	}
	if err := errors.Join(err, b.writing.Wait()); err != nil {
		return err
	}
	if err := b.writeManifest(); err != nil {
		return err
	}
	if err := durable.OS().SyncDir(b.dir); err != nil {
		return err
	}
	return durable.OS().SyncDir(filepath.Dir(b.dir))
}

func (b *builder) fill(values iter.Seq2[Value, error]) error {
	var last uint64
	for v, err := range values {
		switch {
		case err != nil:
			return err
		case v.Key <= last || v.Key > b.version:
			return fmt.Errorf("a log of version %d cannot have key %d after key %d", b.version, v.Key, last)
		}
		last = v.Key
		if b.table != nil && b.table.ReachedCapacity() {
			if err := b.finish(); err != nil {
				return err
			}
		}
		b.add(keyOf(v.Key), v.Bytes)
	}
	return nil
}

// add adds a key to the table, which it begins if there is none.
func (b *builder) add(key, value []byte) {
	if b.table == nil {
		o := badgerOptions(b.dir)
		b.table = badgertable.NewTableBuilder(badgertable.Options{
			TableSize:          uint64(o.BaseTableSize),
			BlockSize:          o.BlockSize,
			BloomFalsePositive: o.BloomFalsePositive,
			Compression:        o.Compression,
		})
	}
	b.table.Add(y.KeyWithTs(key, b.version), y.ValueStruct{Value: value}, 0)
}

// finish writes the table once the one before is written.
func (b *builder) finish() error {
	if err := b.writing.Wait(); err != nil {
		return err
	}
	table, id := b.table, uint64(len(b.tables)+1)
	b.table = nil
	b.tables = append(b.tables, &pb.ManifestChange{
		Id:          id,
		Op:          pb.ManifestChange_CREATE,
		Level:       uint32(badgerOptions(b.dir).MaxLevels - 1),
		Compression: uint32(options.Snappy),
	})
	name := badgertable.NewFilename(id, b.dir)
	b.written = append(b.written, name)
	b.writing.Go(func() error {
		defer table.Close()
		return write(name, table.Finish())
	})
	return nil
}

// writeManifest writes the file that names the tables: a magic text and the
// version of its format, then the length, checksum and bytes of a set of changes,
// all integers big-endian.
func (b *builder) writeManifest() error {
	const magic, format = "Bdgr\x00\x00", 8
	set, err := proto.Marshal(&pb.ManifestChangeSet{Changes: b.tables})
	if err != nil {
		return err
	}
	m := binary.BigEndian.AppendUint16([]byte(magic), format)
	m = binary.BigEndian.AppendUint32(m, uint32(len(set)))
	m = binary.BigEndian.AppendUint32(m, crc32.Checksum(set, y.CastagnoliCrcTable))
	name := filepath.Join(b.dir, badger.ManifestFilename)
	b.written = append(b.written, name)
	return write(name, append(m, set...))
}

// write writes a new file whose content is durable.
func write(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
