package program

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"time"
)

// sent is one command and the row that is its own: nobody else writes it.
type sent struct {
	Command string `json:"command"`
	Payload any    `json:"payload"`
	Key     string `json:"idempotency_key,omitempty"`

	row     string // JSON Pointer; empty: the command has no row of its own
	created bool   // whether the row tells the stamp of its creation
	again   bool   // whether an earlier command wrote the same: nothing changes
}

// answer is a command's, as POST /command gives it.
type answer struct {
	Index     uint64 `json:"index"`
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"`
	Changed   bool   `json:"changed"`
	Duplicate bool   `json:"duplicate"`
}

// op is what was sent under one key: a command, or an atomic batch.
type op struct {
	key      string
	commands []sent
	batch    bool
	answers  []answer // empty: none came yet
}

// writer sends ops, alone or as a stream, each until it is answered. It belongs
// to one goroutine.
type writer struct {
	name   string
	rng    *rand.Rand
	client *http.Client
	n      int // ops made

	open  []*op // sent, or about to be, and not answered; several go as a stream
	done  []*op // answered
	votes []vote
	wrong error // an answer that must not be
}

type vote struct {
	Project   string `json:"project"`
	Role      string `json:"role"`
	Voter     string `json:"voter"`
	Candidate string `json:"candidate"`
}

// electors is how many vote in each writer's council; each may vote for all.
const electors = 60

func newWriter(i int, rng *rand.Rand) *writer {
	return &writer{name: fmt.Sprintf("w%d", i), rng: rng, client: &http.Client{Timeout: 30 * time.Second}}
}

// streamOps is how many ops a stream has at most.
const streamOps = 30

// ready makes the next ops, if none is open, and tells whether there are some.
func (w *writer) ready() bool {
	if len(w.open) > 0 || w.wrong != nil {
		return w.wrong == nil
	}
	ops := 1
	if w.n > 1 && w.rng.IntN(8) == 0 {
		ops = 1 + w.rng.IntN(streamOps)
	}
	for range ops {
		o := w.next()
		w.n++
		w.open = append(w.open, o)
		if o.batch {
			break // A stream takes none.
		}
	}
	if last := len(w.open) - 1; last > 0 && w.open[last].batch {
		w.open = w.open[:last] // It was never sent; its number stays unused.
	}
	return true
}

// next makes an op of a random kind. The first two prepare a council.
func (w *writer) next() *op {
	switch {
	case w.n == 0:
		return w.op(w.create(w.name))
	case w.n == 1:
		return w.op(w.plan())
	}
	switch w.rng.IntN(10) {
	case 0:
		o := w.op(w.create(w.id("a")), w.create(w.id("b")), w.create(w.id("c")))
		o.batch = true
		return o
	case 1, 2, 3:
		return w.op(w.create(w.id("p")))
	case 4:
		if len(w.votes) > 0 {
			return w.op(w.vote(w.votes[w.rng.IntN(len(w.votes))], true))
		}
	}
	k := len(w.votes)
	v := vote{w.name, "lead", elector(k / electors), elector(k % electors)}
	w.votes = append(w.votes, v)
	return w.op(w.vote(v, false))
}

func (w *writer) op(commands ...sent) *op {
	return &op{key: fmt.Sprintf("%s-%d", w.name, w.n), commands: commands}
}

func (w *writer) id(kind string) string { return fmt.Sprintf("%s-%s%d", w.name, kind, w.n) }

func (w *writer) create(id string) sent {
	return sent{
		Command: "project.create", Payload: map[string]any{"project": id, "name": "Project " + id},
		row: "/project/projects/" + id, created: true,
	}
}

func (w *writer) plan() sent {
	var electorate []string
	for i := range electors {
		electorate = append(electorate, elector(i))
	}
	return sent{Command: "council.plan", Payload: map[string]any{
		"project": w.name, "electorate": electorate, "quorum": electors,
		"roles": []any{map[string]any{"name": "lead", "seats": electors}},
	}}
}

func (w *writer) vote(v vote, again bool) sent {
	row := fmt.Sprintf("/project/votes/%s.%s.%s.%s", v.Project, v.Role, v.Voter, v.Candidate)
	return sent{Command: "council.vote", Payload: v, row: row, again: again}
}

func elector(i int) string { return fmt.Sprintf("n%02d", i) }

// send sends what is open, and now and then an op that was answered long ago.
// It tells whether the server still answers; what is open then is sent again.
func (w *writer) send(address string) bool {
	if len(w.done) > 0 && w.rng.IntN(10) == 0 {
		if !w.sendAgain(address, w.done[w.rng.IntN(len(w.done))]) {
			return false
		}
	}
	if len(w.open) > 1 {
		return w.stream(address)
	}
	answers, ok := w.post(address, w.open[0])
	if ok {
		w.answered(answers)
	}
	return ok
}

// answered moves the first op that is open to those that are done.
func (w *writer) answered(answers []answer) {
	w.open[0].answers = answers
	w.done = append(w.done, w.open[0])
	w.open = w.open[1:]
}

// stream sends all that is open, a line each. Each whole line that comes back
// is an answer, also if the stream is cut off after it.
func (w *writer) stream(address string) bool {
	var body bytes.Buffer
	for _, o := range w.open {
		line, err := o.body()
		if err != nil {
			w.wrong = err
			return false
		}
		body.Write(append(line, '\n'))
	}
	r, err := w.client.Post(address+"/command", "application/x-ndjson", &body)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return false
	}
	lines := bufio.NewReader(r.Body)
	for len(w.open) > 0 {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return false
		}
		var problem struct{ Code string }
		answers, err := w.open[0].read(line)
		if err == nil {
			err = json.Unmarshal(line, &problem)
		}
		if problem.Code == "shutting_down" {
			return false
		}
		if err != nil || problem.Code != "" {
			w.wrong = fmt.Errorf("key %s in a stream: %s", w.open[0].key, line)
			return false
		}
		w.answered(answers)
	}
	return true
}

// sendAgain sends what was answered: the answer must be the first one.
func (w *writer) sendAgain(address string, o *op) bool {
	answers, ok := w.post(address, o)
	if !ok {
		return false
	}
	want := make([]answer, len(o.answers))
	for i, a := range o.answers {
		a.Duplicate = true
		want[i] = a
	}
	if !reflect.DeepEqual(want, answers) {
		w.wrong = fmt.Errorf("key %s was answered with %+v, and again with %+v", o.key, o.answers, answers)
	}
	return w.wrong == nil
}

// post sends an op. Without an answer, or with one that says to come back
// later, ok is false; an answer that must not be is kept in wrong.
func (w *writer) post(address string, o *op) (answers []answer, ok bool) {
	q, err := o.request(address)
	if err != nil {
		w.wrong = err
		return nil, false
	}
	r, err := w.client.Do(q)
	if err != nil {
		return nil, false
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode >= http.StatusInternalServerError {
		return nil, false
	}
	if answers, err = o.read(body); err != nil || r.StatusCode != http.StatusOK {
		w.wrong = fmt.Errorf("%s of key %s: %s: %s", o.commands[0].Command, o.key, r.Status, body)
		return nil, false
	}
	return answers, true
}

// body is what POST /command takes.
func (o *op) body() ([]byte, error) {
	if o.batch {
		return json.Marshal(o.commands)
	}
	c := o.commands[0]
	c.Key = o.key
	return json.Marshal(c)
}

func (o *op) request(address string) (*http.Request, error) {
	body, err := o.body()
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequest(http.MethodPost, address+"/command", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	if o.batch {
		q.Header.Set("Idempotency-Key", o.key)
	}
	return q, nil
}

func (o *op) read(body []byte) ([]answer, error) {
	var one answer
	var many struct{ Results []answer }
	if o.batch {
		err := json.Unmarshal(body, &many)
		return many.Results, err
	}
	err := json.Unmarshal(body, &one)
	return []answer{one}, err
}
