package swoosh_test

import (
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// shelfState is the state of a domain that keeps any JSON: in a plain field, in a
// row, and in a slice of a row.
type shelfState struct {
	Last  noun.JSON                        `json:"last"`
	Items swoosh.Table[noun.ID, shelfItem] `json:"items"`
}

type shelfItem struct {
	Value noun.JSON   `json:"value"`
	All   []noun.JSON `json:"all"`
	Size  uint32      `json:"size"`
}

type shelfPut struct {
	Item  noun.ID   `json:"item"`
	Value noun.JSON `json:"value"`
	Size  uint32    `json:"size,omitzero"`
}

func (shelfPut) Check(swoosh.View) error { return nil }

func (c shelfPut) Apply(s *shelfState, _ swoosh.Stamp) {
	item, _ := s.Items.Get(c.Item)
	item.All = append(item.All[:len(item.All):len(item.All)], c.Value)
	item.Value, item.Size, s.Last = c.Value, c.Size, c.Value
	s.Items.Put(c.Item, item)
}

func (c shelfPut) Answer(swoosh.View) shelfSlip { return shelfSlip{c.Value} }

type shelfSlip struct {
	Kept noun.JSON `json:"kept"`
}

var shelf = swoosh.NewDomain("shelf", swoosh.On[shelfPut]("put", "Keep a value."))

// oddities are values that a member of another type would leave out, or could not hold.
var oddities = []string{
	`0`, `false`, `""`, `[]`, `{}`, `null`, `{"a":0,"b":{"c":[],"d":{}},"e":null}`, `[{"a":""},false]`,
	`[1e+30,1e+22,123456789012345680000,9007199254740992,0.000001,1e-7,1.7976931348623157e+308]`,
	`{"a/~":1,"Ä b":"\u0001\"","😀":2,"` + "\ufb33" + `":3}`,
}

func shelve(item, value string) string {
	return `{"command":"shelf.put","payload":{"item":"` + item + `","value":` + value + `}}`
}

// shelved serves a shelf with an item for each oddity, named a, b and so on.
func shelved(t *testing.T) *site {
	s := open(t, swoosh.Options{}, shelf)
	for i, value := range oddities {
		r := s.command(shelve(string(rune('a'+i)), value))
		require.Equal(t, http.StatusOK, r.status, r.body)
		require.Contains(t, r.body, `"result":{"kept":`+value+`}`)
	}
	return s
}

// TestJSONIsKept as it is, in the state, the log and the answer; when the engine is
// closed, a replay of the log must lead to the same state.
func TestJSONIsKept(t *testing.T) {
	s := shelved(t)
	for i, value := range oddities {
		item := "/state?path=/shelf/items/" + string(rune('a'+i))
		require.Equal(t, value, s.get(item+"/all/0").body)
		if value == "null" { // It is zero, so the state leaves it out.
			s.get(item+"/value").refused("not_found", http.StatusNotFound)
		} else {
			require.Equal(t, value, s.get(item+"/value").body)
		}
		entry := s.get("/log?limit=1&from=" + strconv.Itoa(i+1)).body
		require.Contains(t, entry, `"payload":`+`{"item":"`+string(rune('a'+i))+`","value":`+value+`}`)
	}
	last := oddities[len(oddities)-1]
	require.Equal(t, last, s.get("/state?path=/shelf/last").body)
	require.Equal(t, "1", s.get("/state?path=/shelf/last/a~1~0").body)
	require.Equal(t, `{"c":[],"d":{}}`, s.get("/state?path=/shelf/items/g/value/b").body)
	require.Equal(t, `[]`, s.get("/state?path=/shelf/items/g/value/b/c").body)
	require.Equal(t, `1e+30`, s.get("/state?path=/shelf/items/i/value/0").body)

	s.must(shelve("a", ` { "b" : [ 1E22, 9007199254740993 ], "a" : "\u0041" } `))
	require.Equal(t, `{"a":"A","b":[1e+22,9007199254740992]}`, s.get("/state?path=/shelf/items/a/value").body)
}

func TestJSONIsBounded(t *testing.T) {
	s := open(t, swoosh.Options{}, shelf)
	for value, want := range map[string]string{
		`[` + deep(32) + `]`:                    "/payload/value" + strings.Repeat("/0", 32) + " is more than 32 levels deep: make it flatter",
		`"` + strings.Repeat("a", 64<<10) + `"`: "/payload/value must have at most 65536 bytes of canonical JSON, not 65538",
		`1,"size":9007199254740992`:             "/payload/size must be from 0 to 4294967295, not 9007199254740992",
		`1,"size":1E22`:                         "/payload/size must be from 0 to 4294967295, not 1e+22",
	} {
		p := s.command(shelve("a", value)).refused("invalid_payload", http.StatusUnprocessableEntity)
		require.Equal(t, want, p["detail"])
	}
	p := s.command(shelve("a", `{"b":[1,1E400]}`)).refused("malformed_request", http.StatusBadRequest)
	require.Contains(t, p["detail"], "/value/b/1 must be a number that a double holds, below 1.8e308, not 1E400")
	s.command(shelve("a", `{"b":1,"b":2}`)).refused("malformed_request", http.StatusBadRequest)
	s.must(shelve("a", deep(32)))
	require.Equal(t, http.StatusOK, s.ask("POST", "/state", s.get("/state").body, `If-Match: "`+s.e.View().StateHash().String()+`"`).status,
		"the deepest value fits into a document")
}

// TestJSONIsImported with its state hash, although a zero member that is not inside a
// JSON value does not count.
func TestJSONIsImported(t *testing.T) {
	doc := shelved(t).get("/state").body
	hash, err := swoosh.ComputeStateHash([]byte(doc))
	require.NoError(t, err)
	for _, body := range []string{
		doc,
		strings.Replace(doc, `"value":false`, `"size":0,"value":false`, 1),
		strings.Replace(doc, `"all":[null]`, `"all":[null],"value":null`, 1),
	} {
		s := open(t, swoosh.Options{}, shelf)
		require.Equal(t, http.StatusOK, s.ask("POST", "/state", body).status)
		require.Equal(t, hash, s.e.View().StateHash())
		require.Equal(t, doc, s.get("/state").body)
	}
	for old, altered := range map[string]string{
		`"value":false`:       `"x":1`,
		`"value":{}`:          `"value":{"a":0}`,
		`{"a":0,"b":{"c":[],`: `{"b":{"c":[],`,
	} {
		s := open(t, swoosh.Options{}, shelf)
		require.Contains(t, doc, old)
		s.ask("POST", "/state", strings.Replace(doc, old, altered, 1)).refused("state_hash_mismatch", http.StatusUnprocessableEntity)
	}
	s := open(t, swoosh.Options{}, shelf)
	p := s.ask("POST", "/state", `{"meta":{"version":1},"shelf":{"items":{"a":{"value":{"b":`+deep(32)+`}}}}}`).refused("invalid_state", http.StatusUnprocessableEntity)
	require.Contains(t, p["detail"], "/shelf/items/a/value/b/0/0")
}

// TestJSONOfGo is canonical whatever the caller wrote, and none can stand for more
// than one value.
func TestJSONOfGo(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, shelf)
	value, err := noun.ParseJSON(` { "b" : 1.0, "a" : { } } `)
	require.NoError(t, err)
	_, err = noun.ParseJSON(`1,"size":2`)
	require.ErrorContains(t, err, "bytes follow the value")
	for _, v := range []noun.JSON{value, {}} {
		submit(t, e, "shelf.put", shelfPut{Item: "a", Value: v})
		item, ok := shelf.Of(e.View()).Items.Get("a")
		require.True(t, ok)
		require.Equal(t, v, item.Value)
	}
	require.Contains(t, document(t, e.View()), `"all":[{"a":{},"b":1},null]`)
}

// TestPythonHashesJSON although the script knows no types.
func TestPythonHashesJSON(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is missing: scripts/verify.py was not run")
	}
	e := shelved(t).e
	out, code := runScript(t, servedArgs(t, e)...)
	require.Zero(t, code, out)
	require.Contains(t, out, e.View().StateHash().String())
	require.Contains(t, out, e.View().Chain().String())
}
