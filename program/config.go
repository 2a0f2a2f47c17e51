package program

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/pflag"

	"github.com/chorus-services/swoosh/internal/canon"
)

// The settings of serve are its flags. Each may also stand in the environment,
// --max-recovery of a program called doors as DOORS_MAX_RECOVERY, and in a JSON
// file, as "max-recovery".
// The flag wins, then the environment, then the file.

// onlyFlags are flags that are not settings.
var onlyFlags = []string{"help", "config", "print-config"}

// settings records where each flag's value came from.
type settings struct {
	app   *app
	flags *pflag.FlagSet
	from  map[string]string
}

// environment returns the program's variables. An empty one counts as not set.
func (a *app) environment() map[string]string {
	env := map[string]string{}
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); value != "" && strings.HasPrefix(name, a.variable("")) {
			env[name] = value
		}
	}
	return env
}

// kubernetes matches, without the program's prefix, the variables that Kubernetes
// sets in every container for a Service that has the program's name.
var kubernetes = regexp.MustCompile(`^(PORT|SERVICE_HOST|SERVICE_PORT)(_|$)`)

// warnOfVariables warns of variables that no command reads. Those of the server and
// those of its clients may be set side by side.
func (a *app) warnOfVariables(w io.Writer) {
	known := []string{a.variable("config"), a.variable("token")}
	for _, flag := range clientFlags {
		known = append(known, a.variable(flag))
	}
	newServe(a).Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			known = append(known, a.variable(f.Name))
		}
	})
	for _, name := range slices.Sorted(maps.Keys(a.environment())) {
		if !slices.Contains(known, name) && !kubernetes.MatchString(strings.TrimPrefix(name, a.variable(""))) {
			fmt.Fprintf(w, "%s: the variable %s has no meaning%s\n", a.name(), name, meant(name, known, "--help lists the variables"))
		}
	}
}

// readSettings sets the flags that are not on the command line from the
// environment and the file.
func (a *app) readSettings(flags *pflag.FlagSet) (*settings, error) {
	s, env := &settings{a, flags, map[string]string{}}, a.environment()
	const next = "{program} serve --help lists the settings"
	file, err := readConfigFile(cmp.Or(flags.Lookup("config").Value.String(), env[a.variable("config")]), a.text(next))
	if err == nil {
		err = file.checkNames(flags, a.text(next))
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
	variable := s.app.variable(f.Name)
	value, inEnv := env[variable]
	raw, inFile := file.take(f.Name)
	switch {
	case f.Changed:
		s.from[f.Name] = "--" + f.Name
	case inEnv:
		s.from[f.Name] = variable
		return setFromText(f, variable, value)
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

// setFromText sets a flag from its variable. A comma separates the values of a flag
// that may be repeated.
func setFromText(f *pflag.Flag, variable, text string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(strings.Split(text, ","))
	}
	if f.Value.Set(text) != nil {
		return exitf(codeUsage, "%s is %q: give %s", variable, text, kindOf(f))
	}
	return nil
}

// configFile holds the members of a file of settings.
type configFile struct {
	name    string
	members map[string]jsontext.Value
}

func readConfigFile(name, next string) (*configFile, error) {
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
		if _, err := canon.Canonicalize(b); err != nil { // Its text says in plain words what is wrong, and where.
			why = ": " + err.Error()
		}
		return nil, exitf(codeUsage, `%s is not a JSON object of settings%s: write one such as {"listen":"127.0.0.1:8420"}; %s`, name, why, next)
	}
	return c, nil
}

func (c *configFile) take(name string) (jsontext.Value, bool) {
	v, ok := c.members[name]
	return v, ok
}

// jsonKinds are the kinds of the members whose flags are not text.
var jsonKinds = map[string]jsontext.Kind{"bool": 't', "int64": '0', "float64": '0', "stringArray": '['}

// setFromJSON sets a flag from a member: text, a number or a boolean as the flag
// takes them, an array for a flag that may be repeated. It reports whether the
// member has the flag's kind.
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

// memberOf returns a flag's value in the form that setFromJSON takes.
func memberOf(f *pflag.Flag) any {
	switch jsonKinds[f.Value.Type()] {
	case '[':
		return f.Value.(pflag.SliceValue).GetSlice()
	case 't', '0':
		return jsontext.Value(f.Value.String())
	}
	return f.Value.String()
}

// checkNames refuses a file with a member that is not a setting.
func (c *configFile) checkNames(flags *pflag.FlagSet, next string) error {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			names = append(names, f.Name)
		}
	})
	for m := range c.members {
		switch {
		case slices.Contains(onlyFlags, m):
			return exitf(codeUsage, "%s: %q works on the command line only: leave it out", c.name, m)
		case !slices.Contains(names, m):
			return exitf(codeUsage, "%s: there is no setting %q%s", c.name, m, meant(m, names, next))
		}
	}
	return nil
}

// print prints every setting, its value and where it came from.
func (s *settings) print(out *output) error {
	type row struct {
		Value any    `json:"value"`
		From  string `json:"from"`
	}
	rows := map[string]row{}
	var t table
	t.row("SETTING", "VALUE", "FROM")
	s.flags.VisitAll(func(f *pflag.Flag) {
		if from, ok := s.from[f.Name]; ok {
			rows[f.Name] = row{memberOf(f), from}
			t.row(f.Name, printable(f.Value.String()), printable(from))
		}
	})
	if !out.json {
		return t.print(out)
	}
	b, err := json.Marshal(rows, json.Deterministic(true), jsontext.WithIndent("  "))
	if err == nil {
		_, err = fmt.Fprintln(out, string(b))
	}
	return err
}
