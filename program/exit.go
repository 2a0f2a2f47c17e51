package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

// The exit codes of every subcommand. Scripts branch on them.
const (
	codeGood        = 0
	codeFailed      = 1
	codeUsage       = 2
	codeDamaged     = 3
	codeUnreachable = 4
	codeUnknown     = 5
	codeFound       = 6
)

// exitCodes say what each exit code means, in a few words and in a sentence.
var exitCodes = []struct {
	code           int
	short, meaning string
}{
	{codeGood, "good", "It was done."},
	{codeFailed, "refused, failed or stopped", "It was not done: a command was refused, something failed, or a signal\n   stopped it."},
	{codeUsage, "usage", "The command line is wrong, or a setting, or a file that it names."},
	{codeDamaged, "damage found", "The data directory is damaged. Nothing was thrown away; the message says\n   what to run."},
	{codeUnreachable, "not reachable", "No server answers at the address. Nothing was done."},
	{codeUnknown, "outcome unknown", "It may have been done or not: the answer was lost. The message says how\n   to find out."},
	{codeFound, "decides otherwise", "The data directory is sound, but this program does not decide as the one\n   that wrote it did: it would refuse an entry, or make another state of it."},
}

// exitCodesInShort returns the exit codes for the program's help.
func exitCodesInShort() string {
	var all []string
	for _, c := range exitCodes {
		all = append(all, fmt.Sprintf("%d %s", c.code, c.short))
	}
	half := len(all) / 2
	return "Exit codes: " + strings.Join(all[:half], "; ") + ";\n" + strings.Join(all[half:], "; ") + "."
}

// newExitCodes returns a help topic: a command that only has a help.
func newExitCodes() *cobra.Command {
	text := "Every command ends with one of these exit codes:\n"
	for _, c := range exitCodes {
		text += fmt.Sprintf("\n%d  %s\n   %s\n", c.code, c.short, c.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimSuffix(text, "\n")}
}

// exit is an error with the code that the program ends with.
type exit struct {
	code int
	error
}

func (e exit) Unwrap() error { return e.error }

// exitf returns an error that ends the program with a code.
func exitf(code int, format string, args ...any) error {
	return exit{code, fmt.Errorf(format, args...)}
}

// exitCode returns the exit code of an error. An error without a code is a
// failure.
func exitCode(err error) int {
	var e exit
	var damage *swoosh.DamageError
	switch {
	case err == nil:
		return codeGood
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &damage):
		return codeDamaged
	}
	return codeFailed
}

// oneLine returns an error's text for people: one line, without the name of the
// library, since the program's own comes first, and without anything that a
// terminal would obey. A missing permission gets its next step here, wherever it
// comes from.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "swoosh: ")
	text = strings.ReplaceAll(text, ": swoosh: ", ": ")
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	if errors.Is(err, fs.ErrPermission) {
		text += fmt.Sprintf(": run it as the owner, or give the user with id %d access", os.Geteuid())
	}
	return strings.Map(func(r rune) rune {
		if isCommanding(r) {
			return ' '
		}
		return r
	}, text)
}
