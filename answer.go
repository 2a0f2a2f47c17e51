package swoosh

import (
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Answerer is optional for the payload type of a command. Its value is told to
// the caller, and kept in the command's entry, so that a duplicate gets the
// same. T is a type that the payload could have as a member, such as a struct;
// NewDomain panics if it is not, and the catalogue has its schema.
//
// Answer is called after Apply and all reactions, in the same step. The View is
// the state as the command left it; only Index and Chain are still those of the
// entry before. Answer can change nothing, and the rules of Handler hold for it.
//
// The canonical JSON may have up to 64 KiB. If it has more (TooLarge), if it
// cannot be encoded, or if Answer panics (Internal), the command is refused, and
// nothing has changed. Replay does not call Answer: verification does, to compare.
type Answerer[T any] interface {
	Answer(View) T
}

// resultMaxBytes limits the canonical JSON of a result.
const resultMaxBytes = 64 << 10

// answering is how a command makes its result.
type answering struct {
	of     reflect.Value // a function of the payload and a View
	result *canon.Codec
}

// answerOf returns how a payload type answers, and the schema of the result; nil if
// it does not. It panics if the method cannot work.
func answerOf(command string, payload reflect.Type) (a *answering, schema []byte) {
	const name = "Answer"
	m, ok := payload.MethodByName(name)
	if !ok {
		if _, ok := reflect.PointerTo(payload).MethodByName(name); ok {
			panic(fmt.Sprintf("swoosh: %s: the method Answer of %s has a pointer receiver, so it would never be called: make it (c %[2]s)", command, payload))
		}
		return nil, nil
	}
	if m.Type.NumIn() != 2 || m.Type.In(1) != reflect.TypeFor[View]() || m.Type.NumOut() != 1 {
		panic(fmt.Sprintf("swoosh: %s: the method Answer of %s must be Answer(swoosh.View) T: see swoosh.Answerer", command, payload))
	}
	t := m.Type.Out(0)
	if err := checkType(t); err != nil {
		panic(fmt.Sprintf("swoosh: the result of %s: %v", command, err))
	}
	a = &answering{m.Func, canon.For(t)}
	return a, a.result.Schema()
}

// ask returns the canonical JSON of the command's result; nil if it has none.
// value is a pointer to its payload, v the state that the command left.
func (c *command) ask(value any, v View) (result jsontext.Value, err *Error) {
	if c.answer == nil {
		return nil, nil
	}
	defer caught(c.Name, &err)
	out := c.answer.of.Call([]reflect.Value{reflect.ValueOf(value).Elem(), reflect.ValueOf(v)})[0]
	result = c.answer.result.Append(nil, out, canon.Full)
	if len(result) > resultMaxBytes {
		return nil, Errorf(TooLarge, "the result of %s has %d bytes, but at most %d are allowed: ask for less at a time", c.Name, len(result), resultMaxBytes)
	}
	return result, nil
}
