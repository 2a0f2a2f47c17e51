package guard_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/guard"
)

// A file of rules judges what callers send. A command that a rule refuses is not taken;
// the verdicts about one that is taken stand in its entry.
func Example() {
	dir, _ := os.MkdirTemp("", "guards")
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guards.json")
	_ = os.WriteFile(file, []byte(`{"rules":[
		{"name":"own-books","on":"book.add","allow":"payload.owner == actor","reason":"who adds a book must own it"}
	]}`), 0o600)
	rules, err := guard.Open(file, []swoosh.Part{library}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rules.Close()

	ctx := context.Background()
	e, _ := swoosh.Open(ctx, swoosh.Options{Rules: rules.Guards, Logger: slog.New(slog.DiscardHandler)}, library)
	defer e.Close(ctx)
	add := swoosh.Request{Command: "book.add", Payload: addBook{Book: "dune", Owner: "ann"}, Actor: "bo"}
	_, err = e.Submit(ctx, add)
	fmt.Println(err)
	add.Actor = "ann"
	result, _ := e.Submit(ctx, add)
	fmt.Println("entry", result.Index)
	// Output:
	// guard_rejected: refused by own-books: who adds a book must own it
	// entry 1
}
