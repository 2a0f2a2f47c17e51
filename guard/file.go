package guard

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/canon"
)

// What a file of rules may have.
const (
	fileMost    = 1 << 20 // bytes
	rulesMost   = 100
	rowsMost    = 8    // of a rule
	reasonMost  = 1024 // bytes of a reason: what an entry keeps
	timeoutMin  = 10 * time.Millisecond
	timeoutMost = 10 * time.Second
)

// members are those of a rule.
var members = []string{"name", "on", "allow", "rows", "reason", "url", "timeout", "on_failure"}

var rowName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// parse reads a file of rules. The error names the rule, its member, and the column.
func parse(doc []byte, commands []swoosh.CommandInfo) ([]*rule, error) {
	if len(doc) > fileMost {
		return nil, fmt.Errorf("it has more than %d bytes: keep to %d rules", fileMost, rulesMost)
	}
	if _, err := canon.Canonicalize(doc); err != nil {
		return nil, fmt.Errorf("it is not strict JSON: %w", err)
	}
	var file map[string]jsontext.Value
	var all []jsontext.Value
	if err := json.Unmarshal(doc, &file); err != nil || json.Unmarshal(file["rules"], &all) != nil || all == nil {
		return nil, errors.New(`it has no list of rules: write {"rules":[{"name":"…","on":"…","allow":"…"}]}`)
	}
	if err := checkNames(file, []string{"rules"}); err != nil {
		return nil, err
	}
	if len(all) > rulesMost {
		return nil, fmt.Errorf("it has %d rules: at most %d are taken", len(all), rulesMost)
	}
	rules := make([]*rule, len(all))
	for i, text := range all {
		r, err := parseRule(text, commands)
		if err == nil && slices.ContainsFunc(rules[:i], func(o *rule) bool { return o.name == r.name }) {
			err = errors.New("name: an earlier rule has it: choose another")
		}
		if err != nil {
			return nil, fmt.Errorf("%s%w", place(i, r), err)
		}
		rules[i] = r
	}
	return rules, nil
}

// place names a rule in a message.
func place(i int, r *rule) string {
	if r.name == "" {
		return fmt.Sprintf("rule %d: ", i+1)
	}
	return fmt.Sprintf("rule %s: ", r.name)
}

// checkNames refuses members that have no meaning.
func checkNames(given map[string]jsontext.Value, known []string) error {
	for _, m := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(known, m) {
			continue
		}
		if near := canon.Nearest(m, known); near != "" {
			return fmt.Errorf("there is no member %s: did you mean %s?", canon.Quote(m), near)
		}
		return fmt.Errorf("there is no member %s: give %s", canon.Quote(m), strings.Join(known, ", "))
	}
	return nil
}

// parseRule reads a rule. The one that it returns with an error has at most a name.
func parseRule(text jsontext.Value, commands []swoosh.CommandInfo) (*rule, error) {
	r := &rule{text: string(text)}
	var given map[string]jsontext.Value
	if json.Unmarshal(text, &given) != nil || given == nil {
		return r, errors.New("it is no object")
	}
	texts := map[string]string{}
	for _, m := range members {
		value, has := given[m]
		if !has || m == "rows" {
			continue
		}
		var text string
		if value.Kind() != '"' || json.Unmarshal(value, &text) != nil || text == "" {
			return r, fmt.Errorf("%s: it is %s: give a text", m, canon.Short(string(value), 60))
		}
		texts[m] = text
		if m == "name" && swoosh.CheckNodeID(text) == nil {
			r.name = text // Messages about the rest name the rule.
		}
	}
	if r.name == "" {
		return r, fmt.Errorf("name: it is %s: give 1 to 63 characters of a-z, 0-9 and dash", canon.Quote(texts["name"]))
	}
	r.on, r.reason = texts["on"], texts["reason"]
	if err := checkNames(given, members); err != nil {
		return r, err
	}
	if err := checkOn(r.on, commands); err != nil {
		return r, fmt.Errorf("on: %w", err)
	}
	if len(r.reason) > reasonMost {
		return r, fmt.Errorf("reason: it has %d bytes: an entry keeps %d", len(r.reason), reasonMost)
	}
	if err := r.parseWebhook(texts); err != nil {
		return r, err
	}
	rows, err := parseRows(given["rows"])
	if err != nil {
		return r, fmt.Errorf("rows: %w", err)
	}
	return r, r.compileAll(texts["allow"], rows)
}

// checkOn refuses what is no command, or one that guards are not asked about.
func checkOn(on string, commands []swoosh.CommandInfo) error {
	known, asked := []string{"*"}, on == "*"
	beyond, such := "", ""
	for _, c := range commands {
		if such == "" && !c.Unguarded {
			such = fmt.Sprintf("such as %s, all of a region, such as %s.*, or ", c.Name, c.Region)
		}
		known = append(known, c.Name, c.Region+".*")
		switch {
		case on != c.Name && on != c.Region+".*":
		case c.Unguarded:
			beyond = c.Domain
		default:
			asked = true
		}
	}
	switch near := canon.Nearest(on, known); {
	case asked:
		return nil
	case beyond != "":
		return fmt.Errorf("no guard is asked about the commands of %s: a stop must not wait for it", beyond)
	case on != "" && near != "":
		return fmt.Errorf("there is no command %s: did you mean %s?", canon.Quote(on), near)
	}
	return fmt.Errorf("there is no command %s: give one, %s*", canon.Quote(on), such)
}

func parseRows(value jsontext.Value) (map[string]string, error) {
	var rows map[string]string
	if value == nil {
		return nil, nil
	}
	if json.Unmarshal(value, &rows) != nil || rows == nil {
		return nil, errors.New(`it is no object of texts: write {"p":"'/project/projects/' + payload.project"}`)
	}
	if len(rows) > rowsMost {
		return nil, fmt.Errorf("it has %d rows: at most %d are read", len(rows), rowsMost)
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if !rowName.MatchString(name) {
			return nil, fmt.Errorf("a row can't be called %s: give 1 to 63 characters of a-z, 0-9 and _, beginning with a letter", canon.Quote(name))
		}
	}
	return rows, nil
}

// parseWebhook reads the members of a web service, and refuses them beside allow.
func (r *rule) parseWebhook(texts map[string]string) error {
	address, allow := texts["url"], texts["allow"]
	switch {
	case address == "" && allow == "" || address != "" && allow != "":
		return errors.New("a rule has either allow or url: give one of them")
	case address == "":
		for _, m := range []string{"timeout", "on_failure"} {
			if texts[m] != "" {
				return fmt.Errorf("%s: it belongs to a rule with url", m)
			}
		}
		return nil
	}
	w := &webhook{address, defaultTimeout, texts["on_failure"] == "allow"}
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("url: it is no address of a web service: give one such as http://127.0.0.1:8181/v1/data/swoosh, without a password")
	}
	if text := texts["timeout"]; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < timeoutMin || d > timeoutMost {
			return fmt.Errorf("timeout: it is %s: give 10ms to 10s", canon.Quote(text))
		}
		w.timeout = d
	}
	if text := texts["on_failure"]; text != "" && text != "allow" && text != "refuse" {
		return fmt.Errorf("on_failure: it is %s: give refuse or allow", canon.Quote(text))
	}
	r.hook = w
	return nil
}
