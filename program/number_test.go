package program

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// beyond are values that no flag with a number takes.
var beyond = []string{"1e19", "10000000000000000000", "1e308", "NaN", "Inf", "-1", "-1s", "2000000h", "106752d", "0x7fffffffffffffff"}

// eachNumber calls f with each flag that takes a number or a duration.
func eachNumber(cmd *cobra.Command, f func(path []string, flag *pflag.Flag)) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		switch flag.Value.Type() {
		case "bool", "string", "stringArray", "stringSlice":
		default:
			f(strings.Fields(cmd.CommandPath())[1:], flag)
		}
	})
	for _, sub := range cmd.Commands() {
		eachNumber(sub, f)
	}
}

// TestEveryNumberHasARange, and is refused beyond it before anything is done, wherever it
// comes from.
func TestEveryNumberHasARange(t *testing.T) {
	n := 0
	eachNumber(newRoot(newApp(stock, parts(), streams{})), func(path []string, flag *pflag.Flag) {
		n++
		more := map[bool][]string{true: {"--print-config"}}[path[0] == "serve"] // So that none starts.
		for _, value := range beyond {
			got := swooshRun(t, "", slices.Concat(path, more, []string{"--" + flag.Name + "=" + value})...)
			require.Equal(t, codeUsage, got.code, "%s --%s=%s", path, flag.Name, value)
			require.Regexp(t, fmt.Sprintf(`^swoosh: --%s is %q: give a .* from \S+ to \S+\n$`, flag.Name, value), got.err)
			require.Empty(t, got.out)
		}
		if path[0] != "serve" {
			return
		}
		quotes := map[bool]string{true: "", false: `"`}[jsonKinds[flag.Value.Type()] == '0']
		for _, value := range beyond {
			variable := "SWOOSH_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
			t.Setenv(variable, value)
			got := swooshRun(t, "", "serve", "--print-config")
			require.Equal(t, codeUsage, got.code, "%s=%s", variable, value)
			require.Regexp(t, fmt.Sprintf(`%s is %q: give a .* from \S+ to \S+\n$`, variable, value), got.err)
			t.Setenv(variable, "")
			if quotes == "" && !strings.ContainsAny(value[:1], "-0123456789") || strings.ContainsAny(value, "xhds") && quotes == "" {
				continue // It is no JSON.
			}
			file := writeFile(t, filepath.Join(t.TempDir(), "config"), fmt.Sprintf(`{%q:%s%s%s}`, flag.Name, quotes, value, quotes))
			got = swooshRun(t, "", "serve", "--print-config", "--config", file)
			require.Equal(t, codeUsage, got.code, "%s: %s", flag.Name, value)
			require.Regexp(t, fmt.Sprintf(`: %q is .*: give a .* from \S+ to \S+(, in quotes)?\n$`, flag.Name), got.err)
		}
	})
	require.Greater(t, n, 20)
}

// TestRangesHoldTheirEnds, and what is beyond changes nothing.
func TestRangesHoldTheirEnds(t *testing.T) {
	var rate float64
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Float64Var(&rate, "rate", 3, "")
	bound(flags, "rate", &rate, 2, 4)
	for value, want := range map[string]float64{"2": 2, "4": 4, "2.5": 2.5} {
		require.NoError(t, flags.Set("rate", value))
		require.Equal(t, want, rate)
	}
	require.NoError(t, flags.Set("rate", "3"))
	for _, value := range []string{"1.9", "4.1", "NaN"} {
		require.Error(t, flags.Set("rate", value))
		require.Equal(t, 3.0, rate, "it stays as it was")
	}
}
