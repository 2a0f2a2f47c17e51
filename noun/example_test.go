package noun_test

import (
	"errors"
	"fmt"

	"github.com/chorus-services/swoosh/noun"
)

// Floor is a custom noun: its form is checked in every payload that has one.
type Floor int8

func (f Floor) Validate() error {
	if f < -2 || f > 40 {
		return errors.New("must be a floor from -2 to 40")
	}
	return nil
}

func ExampleParseJSON() {
	limits, err := noun.ParseJSON(` {"memory": 2.0, "cpu": [1E22]} `)
	fmt.Println(limits, err)
	_, err = noun.ParseJSON(`{"cpu": 1, "cpu": 2}`)
	fmt.Println(err)
	// Output:
	// {"cpu":[1e+22],"memory":2} <nil>
	// the document has a member twice: /cpu
}

func Example() {
	fmt.Println(noun.ID("front-door").Validate())
	fmt.Println(noun.ID("Front Door").Validate())
	fmt.Println(noun.List[noun.ID]{"a", "b", "a"}.Validate())
	fmt.Println(Floor(41).Validate())
	// Output:
	// <nil>
	// must consist of a-z, 0-9 and dash, not "Front Door"
	// must not repeat "a": element 2 does
	// must be a floor from -2 to 40
}
