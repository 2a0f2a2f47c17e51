package repair

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
)

// refuseForeign refuses a log that another program wrote: one with entries whose
// command these parts lack, or a state with a domain that they lack. Entries up to
// the base are not reduced and may have any command.
func (s *site) refuseForeign(p *swoosh.Replay) error {
	domains, err := s.lacksDomains(p)
	if err != nil {
		return err
	}
	var lacks []string
	if len(domains) > 0 {
		lacks = append(lacks, plural("domain", domains))
	}
	if commands := s.lacksCommands(p); len(commands) > 0 {
		lacks = append(lacks, plural("command", commands))
	}
	if lacks == nil {
		return nil
	}
	writer, next := "another program", "repair it with the program that wrote it"
	switch program, version := p.Writer(); {
	case program == s.o.Program && version == cmp.Or(s.o.Version, s.o.Commit) && program != "":
		writer = "another build of " + strings.TrimSpace(program+" "+version)
		next = "use that build, or add what this one lacks"
	case program != "":
		writer = strings.TrimSpace(program + " " + version)
		next = fmt.Sprintf("run, with %s: %s repair %s", writer, program, s.o.Dir)
	}
	return fmt.Errorf("the log in %s was written by %s; %s lacks its %s: %s", s.o.Dir, writer, s.o.ProgramName(), strings.Join(lacks, " and its "), next)
}

func plural(what string, names []string) string {
	if len(names) > 1 {
		what += "s"
	}
	return what + " " + strings.Join(names, ", ")
}

// lacksCommands returns the commands of entries after the base that no domain
// has. Entries that cannot be read are for others to find.
func (s *site) lacksCommands(p *swoosh.Replay) (lacks []string) {
	base, _ := p.Base()
	_, last := s.log.Bounds()
	for rec := range readable(s.log, base+1, last) {
		x, err := swoosh.DecodeEntry(rec)
		if err == nil && !p.Knows(x.Command) && !slices.Contains(lacks, x.Command) {
			lacks = append(lacks, x.Command)
		}
	}
	slices.Sort(lacks)
	return lacks
}

// lacksDomains returns the domains that the newest readable snapshot has a state
// of and these parts are not.
func (s *site) lacksDomains(p *swoosh.Replay) ([]string, error) {
	for _, i := range slices.Backward(p.Snapshots()) {
		head, err := p.Load(i)
		var d *swoosh.DamageError
		switch {
		case err == nil, errors.As(err, &d) && d.Cause != swoosh.CauseFiles:
			return head.Lacks, nil
		case d == nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return nil, nil
}
