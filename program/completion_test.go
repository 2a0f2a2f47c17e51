package program

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// What a shell completes where the program itself names nothing.
const (
	aFile      = ":0"
	noPath     = ":4"
	aDirectory = ":16"
)

// completed returns what the program completes for the last of its arguments.
func completed(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	a := newApp(stock, parts(), streams{nil, &out, io.Discard})
	require.NoError(t, a.execute(context.Background(), append([]string{cobra.ShellCompRequestCmd}, args...)))
	return strings.TrimSuffix(out.String(), "\n")
}

// TestCompletionOfPaths: an argument or flag that takes a directory completes
// directories only, one that takes a file completes files, and no other does. A new
// flag that takes text has to be named here.
func TestCompletionOfPaths(t *testing.T) {
	flags := map[string]string{
		"dir": aDirectory,

		"ca-file": aFile, "join-token": aFile, "sign": aFile, "wal": aFile, "cert-file": aFile, "check": aFile, "config": aFile, "etcd": aFile, "key-file": aFile, "out": aFile, "plot": aFile,
		"guards": aFile, "tls-cert": aFile, "tls-client-ca": aFile, "tls-key": aFile, "token-file": aFile,

		"addr": noPath, "as": noPath, "hostname": noPath, "allow-host": noPath, "allow-origin": noPath, "at": noPath, "commands": noPath, "expect": noPath,
		"if-match": noPath, "key": noPath, "key-since": noPath, "listen": noPath, "log-format": noPath, "log-level": noPath,
		"approver": noPath, "closes": noPath, "opens": noPath,
		"for": noPath, "join": "open\ntoken\ninvite\n" + noPath, "name": noPath, "node": noPath, "owner": noPath, "reason": noPath, "signer": noPath, "why": noPath, "window": noPath,
		"role":    "admin\nmember\n" + noPath,
		"project": noPath, "network": noPath, "nodes": noPath, "approve require --role": "owner\nadmin\nmember\n" + noPath,
		"node-id": noPath, "path": noPath, "print-config": noPath, "socket-group": noPath,
	}
	isDirectory, isFile, isOption := regexp.MustCompile(`\bDIR\b`), regexp.MustCompile(`(^|[^@])\b(FILE|SNAPSHOT)\b`), regexp.MustCompile(`^\[(-|flags)`)
	seen := map[string]bool{}
	eachCommand(newRoot(newApp(stock, parts(), streams{nil, io.Discard, io.Discard})), func(c *cobra.Command) {
		name := strings.Fields(c.CommandPath())[1:]
		words := append(slices.Clone(name), "")
		for _, word := range strings.Fields(c.Use)[1:] {
			if isOption.MatchString(word) {
				break
			}
			got := completed(t, words...)
			switch {
			case isDirectory.MatchString(word):
				require.Equal(t, aDirectory, got, "%s %s", c.Name(), word)
			case isFile.MatchString(word):
				require.Equal(t, aFile, got, "%s %s", c.Name(), word)
			default:
				require.True(t, strings.HasSuffix(got, noPath), "%s %s: %s", c.Name(), word, got)
			}
			words = slices.Insert(words, len(words)-1, "x")
		}
		require.True(t, strings.HasSuffix(completed(t, words...), noPath), "%s takes no more", words)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			flag := strings.Join(name, " ") + " --" + f.Name
			if _, own := flags[flag]; !own {
				flag = f.Name
			}
			want, known := flags[flag]
			if kind := f.Value.Type(); !known && !strings.HasPrefix(kind, "string") {
				want = noPath
			} else {
				require.True(t, known, "--%s: say in its usage that it takes a `FILE` or a `DIR`, if it does, and say so here", f.Name)
			}
			if f.Value.Type() != "bool" { // One of those takes no value.
				require.Equal(t, want, completed(t, append(name, "--"+f.Name+"=")...), "%s --%s", name, f.Name)
			}
			seen[flag] = true
		})
	})
	for name := range flags {
		require.True(t, seen[name], "no command has a flag --%s", name)
	}
}

// eachCommand calls f with each command that a root has, and those that they have.
func eachCommand(root *cobra.Command, f func(*cobra.Command)) {
	for _, c := range root.Commands() {
		if !c.IsAdditionalHelpTopicCommand() && !c.Hidden {
			f(c)
			eachCommand(c, f)
		}
	}
}

// TestCompletionOfPayloads: after @ they are files, also where a shell splits the
// word there.
func TestCompletionOfPayloads(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "payload.json"), "{}")
	require.Equal(t, "@"+dir+"/payload.json\n:4", completed(t, "command", "x", "@"+dir+"/pay"))
	require.Equal(t, "@"+dir+"/\n:6", completed(t, "command", "x", "@"+dir))
	require.Equal(t, noPath, completed(t, "command", "x", "@"+dir+"/none"))
	require.Equal(t, aFile, completed(t, "command", "x", "@", "pay"))
}
