package badgerlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	badgertable "github.com/dgraph-io/badger/v4/table"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Damage reports files of a log that are not as they were written.
type Damage struct {
	Detail string   // which files, and what is wrong with them
	Tables []uint64 // the IDs of the damaged or missing tables; none if something else is damaged
}

func (d *Damage) Error() string { return d.Detail }

func damaged(name string, why any) error {
	return &Damage{Detail: fmt.Sprintf("%s is damaged: %v", name, why)}
}

func missing(name string) error { return &Damage{Detail: name + " is missing"} }

// tableError makes a *Damage of an error about a table file, unless it is the
// machine's.
func tableError(name string, id uint64, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Damage{name + " is missing", []uint64{id}}
	case errors.Is(err, errTable):
		return &Damage{fmt.Sprintf("%s %v", name, err), []uint64{id}}
	}
	return err
}

// describeAll describes tables and sorts them by their keys. It checks of each what
// Badger reads when it opens it: on damage there, Badger ends the process or
// leaves the table out. If some are damaged, the *Damage has them all.
func describeAll(dir string, ids []uint64) (all []Table, err error) {
	var harm Damage
	var file tableFile
	for _, id := range ids {
		name := badgertable.NewFilename(id, dir)
		t, err := file.describe(name)
		if err != nil {
			var d *Damage
			if err := tableError(name, id, err); !errors.As(err, &d) {
				return nil, err
			}
			if harm.Detail != "" {
				harm.Detail += "; "
			}
			harm.Detail, harm.Tables = harm.Detail+d.Detail, append(harm.Tables, id)
			continue
		}
		t.ID = id
		all = append(all, t.Table)
	}
	if len(harm.Tables) > 0 {
		return nil, &harm
	}
	sortTables(all)
	for i := 1; i < len(all); i++ {
		if all[i].First <= all[i-1].Last {
			return nil, damaged(dir, fmt.Sprintf("tables %d and %d overlap", all[i-1].ID, all[i].ID))
		}
	}
	return all, nil
}

// checkAccess opens every file as Badger will later, because Badger's own
// errors do not say whether access failed.
func checkAccess(dir string, names []string) error {
	for _, n := range names {
		f, err := os.OpenFile(filepath.Join(dir, n), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// openBadger opens files that have been checked. Anything that Badger still finds
// wrong is damage, unless the operating system refused something.
func openBadger(o badger.Options, log *slog.Logger) (db *badger.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damaged(o.Dir, r)
		}
	}()
	l := &logger{log: log}
	db, err = badger.OpenManaged(o.WithLogger(l))
	if err == nil {
		if err = l.tripped(); err == nil {
			return db, nil
		}
		err = errors.Join(err, db.Close())
	}
	if refusedByTheMachine(err) {
		return nil, fmt.Errorf("log in %s: %w", o.Dir, err)
	}
	return nil, damaged(o.Dir, err)
}

// refusedByTheMachine reports whether an error comes from the operating system.
// It looks at the text, since Badger does not wrap its errors.
func refusedByTheMachine(err error) bool {
	for _, e := range append(slices.Clone(durable.Refusals), syscall.EIO) {
		if strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}
