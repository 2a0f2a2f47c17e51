// Follow keeps a read model of a swoosh server: the names of its projects. If
// it is stopped, it continues where it was. Usage: follow ADDRESS FILE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/chorus-services/swoosh/client"
)

type project struct {
	ID   string `json:"project,omitempty"`
	Name string `json:"name"`
}

type model struct {
	Index    uint64             `json:"index"` // of the last entry in it
	Chain    string             `json:"chain"` // likewise
	Projects map[string]project `json:"projects"`
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: follow ADDRESS FILE")
	}
	ctx, file, m := context.Background(), os.Args[2], model{}
	c, err := client.New(os.Args[1], client.Options{Token: os.Getenv("SWOOSH_TOKEN")})
	check(err)
	if raw, err := os.ReadFile(file); err != nil || json.Unmarshal(raw, &m) != nil {
		projects, read, err := client.Get[map[string]project](ctx, c, "/project/projects")
		check(err)
		m = model{read.Index, read.Chain, projects}
	}
	fmt.Println("begins after entry", m.Index)
	for entry, err := range c.Watch(ctx, m.Index+1, client.AfterChain(m.Chain)) {
		check(err) // On "compacted" it was away for too long, on "history_changed" a backup was restored: delete FILE.
		if m.Index, m.Chain = entry.Index, entry.Chain; entry.Command == "project.create" {
			var p project
			check(json.Unmarshal(entry.Payload, &p))
			m.Projects[p.ID] = project{Name: p.Name}
		}
		raw, err := json.Marshal(m)
		check(err)
		check(os.WriteFile(file+".new", raw, 0o600))
		check(os.Rename(file+".new", file)) // Model and position change together.
		fmt.Println("holds entry", m.Index)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
