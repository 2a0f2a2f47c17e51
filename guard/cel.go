package guard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/interpreter"
)

// variables are what every expression may name. There is no clock among them, and
// nothing else of the outside.
var variables = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("command", cel.StringType),
		cel.Variable("payload", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("signer", cel.StringType),
		cel.Variable("actor", cel.StringType),
		cel.Variable("window_id", cel.StringType),
		cel.Variable("inputs_hash", cel.StringType),
		cel.Variable("evidence", cel.ListType(cel.StringType)),
		cel.OptionalTypes(), // Members that are not given are left out: payload.?role.orValue("").
		cel.ASTValidators(cel.ValidateRegexLiterals()),
		cel.RegexProgramSizeLimit(regexMost),
	)
})

// environment returns the variables, and those of rows.
func environment(rows ...string) (*cel.Env, error) {
	env, err := variables()
	if err != nil || len(rows) == 0 {
		return env, err
	}
	var o []cel.EnvOption
	for _, r := range rows {
		o = append(o, cel.Variable(rowPrefix+r, cel.DynType))
	}
	return env.Extend(o...)
}

// compile returns an expression whose value has a type. The error names the column.
func compile(env *cel.Env, text string, want *cel.Type, hint string) (*expression, error) {
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		what := strings.ReplaceAll(first.Message, "\n", " ")
		if line := first.Location.Line(); line > 1 {
			return nil, fmt.Errorf("line %d, column %d: %s", line, first.Location.Column()+1, what)
		}
		return nil, fmt.Errorf("column %d: %s", first.Location.Column()+1, what)
	}
	if is := ast.OutputType(); !is.IsExactType(want) {
		return nil, fmt.Errorf("column 1: its value is of type %s, and not %s: %s", is, want, hint)
	}
	program, err := env.Program(ast, cel.CostLimit(costMost))
	if err != nil {
		return nil, err
	}
	return &expression{text, program}, nil
}

// compileAll compiles a rule's expressions. rows are in the order of their names.
func (r *rule) compileAll(allow string, rows map[string]string) error {
	env, err := environment()
	if err != nil {
		return err
	}
	names := []string{}
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		x, err := compile(env, rows[name], cel.StringType, "name the pointer of a row, such as '/fleet/nodes/' + signer, or write string(…)")
		if err != nil {
			return fmt.Errorf("rows.%s, %w", name, err)
		}
		r.rows = append(r.rows, row{name, x})
	}
	if allow == "" {
		return nil
	}
	if env, err = environment(names...); err != nil {
		return err
	}
	if r.allow, err = compile(env, allow, cel.BoolType, "compare it, such as payload.public == true"); err != nil {
		return fmt.Errorf("allow, %w", err)
	}
	return nil
}

// isTooCostly reports whether an evaluation was ended because of what it costs.
func isTooCostly(err error) bool {
	var ended interpreter.EvalCancelledError
	return errors.As(err, &ended) && ended.Cause == interpreter.CostLimitExceeded
}
