package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/pflag"

	"github.com/chorus-services/swoosh/internal/canon"
)

// The settings of serve are its flags. Each may also stand in the environment,
// --max-recovery as SWOOSH_MAX_RECOVERY, and in a JSON file, as "max-recovery".
// The flag wins, then the environment, then the file.

// onlyFlags are flags that are no settings.
var onlyFlags = []string{"help", "config", "print-config"}

func variable(flag string) string {
	return "SWOOSH_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settings says where each flag's value came from.
type settings struct {
	flags *pflag.FlagSet
	from  map[string]string
}

// environment gives the program's variables that say something: an empty one does
// not.
func environment() map[string]string {
	env := map[string]string{}
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); value != "" && strings.HasPrefix(name, "SWOOSH_") {
			env[name] = value
		}
	}
	return env
}

// kubernetes matches the variables that it gives every container for a Service that
// is named swoosh.
var kubernetes = regexp.MustCompile(`^SWOOSH_(PORT|SERVICE_HOST|SERVICE_PORT)(_|$)`)

// warnOfVariables tells of those that mean nothing to any command: the server's
// and those of who asks it may stand side by side.
func warnOfVariables(w io.Writer) {
	known := append([]string{"SWOOSH_CONFIG"}, clientVariables...)
	newServe(streams{}).Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			known = append(known, variable(f.Name))
		}
	})
	for _, name := range slices.Sorted(maps.Keys(environment())) {
		if !slices.Contains(known, name) && !kubernetes.MatchString(name) {
			fmt.Fprintf(w, "swoosh: the variable %s means nothing here%s\n", name, meant(name, known, "--help names those that do"))
		}
	}
}

// readSettings fills the flags that were not given from the environment and the
// file.
func readSettings(flags *pflag.FlagSet) (*settings, error) {
	s, env := &settings{flags, map[string]string{}}, environment()
	file, err := readConfigFile(cmp.Or(flags.Lookup("config").Value.String(), env["SWOOSH_CONFIG"]))
	if err == nil {
		err = file.checkNames(flags)
	}
	if err != nil {
		return nil, err
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			err = cmp.Or(err, s.fill(f, env, file))
		}
	})
	return s, err
}

func (s *settings) fill(f *pflag.Flag, env map[string]string, file *configFile) error {
	value, inEnv := env[variable(f.Name)]
	raw, inFile := file.take(f.Name)
	switch {
	case f.Changed:
		s.from[f.Name] = "--" + f.Name
	case inEnv:
		s.from[f.Name] = variable(f.Name)
		return setFromText(f, value)
	case inFile:
		s.from[f.Name] = file.name
		if !setFromJSON(f, raw) {
			quotes := ""
			if jsonKinds[f.Value.Type()] == 0 {
				quotes = ", in quotes"
			}
			return exitf(codeUsage, "%s: %q is %s: give %s%s", file.name, f.Name, raw, kindOf(f), quotes)
		}
	default:
		s.from[f.Name] = "default"
	}
	return nil
}

// setFromText sets a flag from its variable, in which a comma parts the values of
// a flag that may be repeated.
func setFromText(f *pflag.Flag, text string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(strings.Split(text, ","))
	}
	if f.Value.Set(text) != nil {
		return exitf(codeUsage, "%s is %q: give %s", variable(f.Name), text, kindOf(f))
	}
	return nil
}

// configFile holds the members of a file that no flag has taken.
type configFile struct {
	name    string
	members map[string]jsontext.Value
}

func readConfigFile(name string) (*configFile, error) {
	c := &configFile{name: name}
	if name == "" {
		return c, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, exitf(codeUsage, "--config: %w: name a JSON file of settings", err)
	}
	if err := json.Unmarshal(b, &c.members); err != nil || c.members == nil {
		why := ""
		if _, err := canon.Canonicalize(b); err != nil { // It says in plain words what is wrong, and where.
			why = ": " + err.Error()
		}
		return nil, exitf(codeUsage, `%s is no object of settings%s: write one such as {"listen":"127.0.0.1:8420"}; swoosh serve --help lists the settings`, name, why)
	}
	return c, nil
}

func (c *configFile) take(name string) (jsontext.Value, bool) {
	v, ok := c.members[name]
	return v, ok
}

// jsonKinds are those of the members whose flags are no text.
var jsonKinds = map[string]jsontext.Kind{"bool": 't', "int64": '0', "float64": '0', "stringArray": '['}

// setFromJSON sets a flag from a member: text, a number or a boolean as the flag
// takes them, an array for a flag that may be repeated. It says whether the member
// was such a one.
func setFromJSON(f *pflag.Flag, raw jsontext.Value) bool {
	kind := raw.Kind()
	if kind == 'f' {
		kind = 't'
	}
	want := jsonKinds[f.Value.Type()]
	if kind != cmp.Or(want, '"') {
		return false
	}
	switch want {
	case '[':
		var all []string
		return json.Unmarshal(raw, &all) == nil && f.Value.(pflag.SliceValue).Replace(all) == nil
	case 0:
		var text string
		return json.Unmarshal(raw, &text) == nil && f.Value.Set(text) == nil
	}
	return f.Value.Set(string(raw)) == nil
}

// memberOf gives a flag's value as setFromJSON takes it.
func memberOf(f *pflag.Flag) any {
	switch jsonKinds[f.Value.Type()] {
	case '[':
		return f.Value.(pflag.SliceValue).GetSlice()
	case 't', '0':
		return jsontext.Value(f.Value.String())
	}
	return f.Value.String()
}

// checkNames refuses a file that has a member which is no setting.
func (c *configFile) checkNames(flags *pflag.FlagSet) error {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			names = append(names, f.Name)
		}
	})
	for m := range c.members {
		switch {
		case slices.Contains(onlyFlags, m):
			return exitf(codeUsage, "%s: %q is for the command line alone: leave it out", c.name, m)
		case !slices.Contains(names, m):
			return exitf(codeUsage, "%s: there is no setting %q%s", c.name, m, meant(m, names, "swoosh serve --help lists them"))
		}
	}
	return nil
}

// print writes every setting, its value and where it came from.
func (s *settings) print(w io.Writer, asJSON bool) error {
	type row struct {
		Value any    `json:"value"`
		From  string `json:"from"`
	}
	rows := map[string]row{}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
	s.flags.VisitAll(func(f *pflag.Flag) {
		if from, ok := s.from[f.Name]; ok {
			rows[f.Name] = row{memberOf(f), from}
			fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, f.Value, from)
		}
	})
	if !asJSON {
		return t.Flush()
	}
	b, err := json.Marshal(rows, json.Deterministic(true), jsontext.WithIndent("  "))
	if err == nil {
		_, err = fmt.Fprintln(w, string(b))
	}
	return err
}
