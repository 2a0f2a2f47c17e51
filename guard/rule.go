package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/go-json-experiment/json"

	"github.com/chorus-services/swoosh"
)

// rule is a guard.
type rule struct {
	name   string
	on     string // a command, "region.*" or "*"
	rows   []row
	allow  *expression // nil: a web service is asked
	hook   *webhook
	reason string // of a refusal that brings none; empty: a text is made
	text   string // of the file
	rules  *Rules
}

// row is a row of the state that a rule reads.
type row struct {
	name    string
	pointer *expression
}

// Name implements swoosh.Guard.
func (r *rule) Name() string { return r.name }

// Judge implements swoosh.Guard.
func (r *rule) Judge(ctx context.Context, q swoosh.Request, v swoosh.View) []swoosh.Verdict {
	if !covers(r.on, q.Command) {
		return nil
	}
	given, err := r.input(q, v)
	var said swoosh.Verdict
	switch {
	case err != nil:
		said.Reason = err.Error()
	case r.allow != nil:
		said, err = r.evaluate(given)
	default:
		said, err = r.ask(ctx, given)
	}
	switch {
	case ctx.Err() != nil: // Nobody waits for the verdict.
	case r.hook != nil:
		r.rules.tell(r.name, err)
	case err != nil:
		r.rules.failures.WithLabelValues(r.name).Inc() // Callers make expressions fail: the log would fill.
	}
	return []swoosh.Verdict{said}
}

// covers reports whether a rule on some commands is about one.
func covers(on, command string) bool {
	region, all := strings.CutSuffix(on, "*")
	return on == command || all && strings.HasPrefix(command, region)
}

// input returns what expressions and web services see.
func (r *rule) input(q swoosh.Request, v swoosh.View) (map[string]any, error) {
	by := v.Command()
	var payload any
	if err := json.Unmarshal(by.Payload(), &payload); err != nil {
		return nil, fmt.Errorf("the payload cannot be read: %w", err)
	}
	given := map[string]any{
		"command": by.Name, "payload": payload, "signer": by.Signer, "actor": q.Actor,
		"window_id": q.WindowID, "inputs_hash": "", "evidence": make([]string, len(q.Evidence)),
	}
	if q.InputsHash != (swoosh.Hash{}) {
		given["inputs_hash"] = q.InputsHash.String()
	}
	for i, e := range q.Evidence {
		given["evidence"].([]string)[i] = string(e)
	}
	for _, row := range r.rows {
		value, err := row.find(given, v)
		if err != nil {
			return nil, fmt.Errorf("rows.%s fails: %w", row.name, err)
		}
		given[rowPrefix+row.name] = value
	}
	return given, nil
}

// find returns the row that the pointer names, nil if it is not there.
func (r row) find(given map[string]any, v swoosh.View) (row any, err error) {
	said, err := r.pointer.evaluate(given)
	if err != nil {
		return nil, err
	}
	pointer, ok := said.(string)
	if !ok {
		return nil, fmt.Errorf("it is %T, and not the pointer of a row", said)
	}
	table := pointer[:max(0, strings.LastIndexByte(pointer, '/'))]
	if t, err := v.Find(table); err != nil || !t.IsTable() {
		return nil, fmt.Errorf("%q is not the pointer of a row: name domain, table and key, such as /project/projects/alpha", pointer)
	}
	found, err := v.Find(pointer)
	if swoosh.NotFound.Is(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if _, err := found.WriteTo(&text); err != nil {
		return nil, err
	}
	err = json.Unmarshal([]byte(text.String()), &row)
	return row, err
}

// evaluate judges by the expression. The error is its failure.
func (r *rule) evaluate(given map[string]any) (swoosh.Verdict, error) {
	said, err := r.allow.evaluate(given)
	if err != nil {
		return swoosh.Verdict{Reason: fmt.Sprintf("allow fails: %v", err)}, err
	}
	if allowed, ok := said.(bool); ok && allowed {
		return swoosh.Verdict{Allowed: true}, nil
	}
	return swoosh.Verdict{Reason: cmp.Or(r.reason, "it is not so that "+r.allow.text)}, nil
}

// ask judges by the web service. The error is its failure.
func (r *rule) ask(ctx context.Context, given map[string]any) (swoosh.Verdict, error) {
	allowed, reason, err := r.hook.ask(ctx, r.rules.client, r.wire(given))
	switch {
	case err != nil && r.hook.allows:
		return swoosh.Verdict{Allowed: true, Reason: fmt.Sprintf("the web service fails, and on_failure is allow: %v", err)}, err
	case err != nil:
		return swoosh.Verdict{Reason: fmt.Sprintf("the web service fails: %v", err)}, err
	case allowed:
		return swoosh.Verdict{Allowed: true, Reason: reason}, nil
	}
	return swoosh.Verdict{Reason: cmp.Or(reason, r.reason, "the web service does not allow it")}, nil
}

// wire returns the input as a web service gets it, with the rows in one object.
func (r *rule) wire(given map[string]any) map[string]any {
	rows := map[string]any{}
	for _, row := range r.rows {
		rows[row.name] = given[rowPrefix+row.name]
		delete(given, rowPrefix+row.name)
	}
	given["rows"] = rows
	return map[string]any{"input": given}
}

// expression is one in CEL.
type expression struct {
	text    string
	program cel.Program
}

const (
	rowPrefix = "rows." // of the variables that are rows
	costMost  = 100_000 // of an evaluation, in cel-go's units: about what a simple operation costs
	regexMost = 10_000  // instructions of a regular expression
)

// evaluate returns the value of the expression, as bool or string where it is one.
func (x *expression) evaluate(given map[string]any) (any, error) {
	value, _, err := x.program.Eval(given)
	if isTooCostly(err) {
		return nil, fmt.Errorf("its evaluation costs more than %d", costMost)
	}
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", " ")
		if strings.HasSuffix(text, "no such overload") {
			text += ": the numbers of JSON are doubles, write 1.0"
		}
		return nil, errors.New(text)
	}
	return value.Value(), nil
}

// defaultTimeout is how long a web service may take if its rule does not say.
const defaultTimeout = time.Second
