package repair

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/home"
)

// findInMemtables finds records in the copies of Badger's memtable files, even
// after damage that Badger cannot read past: a record is known by its own form.
// After a stop that was in order there is no copy.
func findInMemtables(h *home.Home) ([]swoosh.Record, error) {
	dir := h.Path("unclean")
	entries, err := h.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []swoosh.Record
	for _, e := range entries {
		if badgerlog.IsMemtable(e.Name()) {
			err := durable.EachStretch(h.FS, filepath.Join(dir, e.Name()), func(b []byte) { all = append(all, swoosh.FindRecords(b)...) })
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
