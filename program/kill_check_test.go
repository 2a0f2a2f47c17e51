package program

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// logged is what the check reads of an entry.
type logged struct {
	Index     uint64          `json:"index"`
	HLC       string          `json:"hlc"`
	Command   string          `json:"command"`
	Payload   json.RawMessage `json:"payload"`
	Changed   bool            `json:"changed"`
	StateHash string          `json:"state_hash"`
	Chain     string          `json:"chain"`
	Key       string          `json:"idempotency_key"`
	Batch     struct {
		First uint64 `json:"first"`
		Count int    `json:"count"`
	} `json:"batch"`
}

// check holds everything that was answered against log and state. Nothing is
// open and nobody writes.
func (l *life) check(address string) {
	entries := l.readLog(address)
	document := l.get(address+"/state", "")
	if len(entries) > 0 {
		var state struct {
			Meta struct {
				StateHash string `json:"state_hash"`
			} `json:"meta"`
		}
		require.NoError(l.t, json.Unmarshal(document, &state))
		last := entries[len(entries)-1]
		require.Equal(l.t, last.StateHash, state.Meta.StateHash, "the state's hash is not that of entry %d", last.Index)
		computed, err := swoosh.ComputeStateHash(document)
		require.NoError(l.t, err)
		require.Equal(l.t, last.StateHash, computed.String(), "the document has another hash than entry %d", last.Index)
	}
	l.checkEachOnce(entries)
	l.checkRows(address, document)
}

// readLog reads the whole log: contiguous indexes, growing stamps, and a chain
// that is computed anew.
func (l *life) readLog(address string) []logged {
	var entries []logged
	var chain [sha256.Size]byte
	lines := bufio.NewReader(bytes.NewReader(l.get(address+"/log", "application/x-ndjson")))
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return entries
		}
		require.NoError(l.t, err, "a line that is cut off: %s", line)
		line = bytes.TrimSuffix(line, []byte("\n"))
		var x logged
		require.NoError(l.t, json.Unmarshal(line, &x))
		require.EqualValues(l.t, len(entries)+1, x.Index, "every index once, in order")
		if len(entries) > 0 {
			require.Greater(l.t, x.HLC, entries[len(entries)-1].HLC, "stamps grow")
		}
		before := bytes.Replace(line, []byte(`"chain":"`+x.Chain+`",`), nil, 1)
		chain = sha256.Sum256(append(chain[:], before...))
		require.Equal(l.t, hex.EncodeToString(chain[:]), x.Chain, "the chain of entry %d", x.Index)
		entries = append(entries, x)
	}
}

// checkEachOnce holds every answered op against its entries: each is there
// once, as it was answered, and nothing else is.
func (l *life) checkEachOnce(entries []logged) {
	keys := map[string]uint64{}
	for _, x := range entries {
		if x.Key != "" {
			require.Zero(l.t, keys[x.Key], "key %s is in two entries, the second is %d", x.Key, x.Index)
			keys[x.Key] = x.Index
		}
	}
	commands := 0
	for _, w := range l.writers {
		for _, o := range w.done {
			require.Equal(l.t, o.answers[0].Index, keys[o.key], "the entry of key %s", o.key)
			commands += len(o.commands)
			for i, c := range o.commands {
				l.checkEntry(entries, o, i, c)
			}
		}
	}
	require.Len(l.t, entries, commands, "as many entries as commands")
}

func (l *life) checkEntry(entries []logged, o *op, i int, c sent) {
	a := o.answers[i]
	require.LessOrEqual(l.t, a.Index, uint64(len(entries)), "key %s was acknowledged, and its entry is missing", o.key)
	x := entries[a.Index-1]
	payload, err := json.Marshal(c.Payload)
	require.NoError(l.t, err)
	require.JSONEq(l.t, string(payload), string(x.Payload))
	require.Equal(l.t, c.Command, x.Command, "entry %d, key %s", x.Index, o.key)
	require.Equal(l.t, a, answer{x.Index, x.HLC, x.StateHash, x.Changed, a.Duplicate}, "entry %d, key %s", x.Index, o.key)
	require.Equal(l.t, !c.again, x.Changed, "entry %d, key %s: whether it changed anything", x.Index, o.key)
	if o.batch {
		require.Equal(l.t, o.answers[0].Index, x.Batch.First)
		require.Equal(l.t, len(o.commands), x.Batch.Count)
	}
}

// checkRows looks every command's own row up in the document, and that of the
// newest ones by its path.
func (l *life) checkRows(address string, document []byte) {
	var state map[string]map[string]map[string]json.RawMessage
	var domains map[string]json.RawMessage
	require.NoError(l.t, json.Unmarshal(document, &domains))
	state = map[string]map[string]map[string]json.RawMessage{"project": {}}
	project := state["project"]
	require.NoError(l.t, json.Unmarshal(domains["project"], &project))
	rows := 0
	for _, w := range l.writers {
		for i, o := range w.done {
			for k, c := range o.commands {
				if c.row == "" {
					continue
				}
				part := strings.Split(c.row, "/")
				row, there := project[part[2]][part[3]]
				require.True(l.t, there, "%s of key %s is not in the state", c.row, o.key)
				l.checkRow(row, o.answers[k], c)
				if i == len(w.done)-1 {
					l.checkRow(l.get(address+"/state?path="+url.QueryEscape(c.row), ""), o.answers[k], c)
				}
				if !c.again {
					rows++
				}
			}
		}
	}
	require.Equal(l.t, rows, len(project["projects"])+len(project["votes"]), "no other rows")
}

func (l *life) checkRow(row []byte, a answer, c sent) {
	if !c.created {
		require.Equal(l.t, "{}", string(row), c.row)
		return
	}
	var p struct {
		Created string `json:"created"`
	}
	require.NoError(l.t, json.Unmarshal(row, &p))
	require.Equal(l.t, a.HLC, p.Created, "%s was created by another entry", c.row)
}

// get gives the body of a good answer.
func (l *life) get(url, accept string) []byte {
	q, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(l.t, err)
	if accept != "" {
		q.Header.Set("Accept", accept)
	}
	r, err := http.DefaultClient.Do(q)
	require.NoError(l.t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(l.t, err)
	require.Equal(l.t, http.StatusOK, r.StatusCode, fmt.Sprintf("%s: %s", url, body))
	return body
}
