package swoosh

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/internal/canon"
)

// walk returns what RFC 6901 finds in a document decoded by encoding/json.
func walk(v any, pointer string) (any, bool) {
	if pointer == "" {
		return v, true
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[token]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) || strconv.Itoa(i) != token {
				return nil, false
			}
			v = at[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// everyPointer returns the pointers of a decoded document, sorted.
func everyPointer(v any, at jsontext.Pointer) []string {
	all := []string{string(at)}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, everyPointer(v[name], at.AppendToken(name))...)
		}
	case []any:
		for i, e := range v {
			all = append(all, everyPointer(e, at.AppendToken(strconv.Itoa(i)))...)
		}
	}
	return all
}

func parsed(t require.TestingT, document []byte) any {
	var v any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

func rendered(t require.TestingT, n Value) string {
	var b bytes.Buffer
	written, err := n.WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), written)
	return b.String()
}

// requireFind compares Find at one pointer with the decoded document.
func requireFind(t require.TestingT, v View, document any, pointer string) {
	want, there := walk(document, pointer)
	n, err := v.Find(pointer)
	if !there && slices.Contains(tablePointers(v.state.defs()), pointer) {
		want, there = map[string]any{}, true // A table without rows is {}.
	}
	if !there {
		require.True(t, NotFound.Is(err), "%s: %v", pointer, err)
		return
	}
	require.NoError(t, err, pointer)
	text := rendered(t, n)
	canonical, err := canon.Canonicalize([]byte(text))
	require.NoError(t, err)
	require.Equal(t, string(canonical), text, pointer)
	require.Equal(t, want, parsed(t, []byte(text)), pointer)

	tokens, _ := canon.ParsePointer(pointer)
	isTable := slices.Contains(tablePointers(v.state.defs()), pointer)
	isRow := len(tokens) == 3 && slices.Contains(tablePointers(v.state.defs()), pointer[:strings.LastIndexByte(pointer, '/')])
	require.Equal(t, isTable, n.IsTable(), pointer)
	require.Equal(t, isRow, n.IsRow(), pointer)
	if isRow {
		require.Equal(t, Hash(sha256.Sum256([]byte(text))), n.Hash())
		hash, ok := v.rowHash(tokens[0], tokens[1], tokens[2])
		require.True(t, ok)
		require.Equal(t, n.Hash().String(), hash)
	} else {
		require.Equal(t, v.StateHash(), n.Hash())
	}
}

func TestFind(t *testing.T) {
	t.Run("at every pointer of a document gives what stands there", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			s := drawOrchard(r)
			document := parsed(r, documentOf(r, s))
			pointers := everyPointer(document, "")
			pointers = append(pointers, tablePointers(s.defs())...)
			for _, p := range pointers {
				requireFind(r, viewOf(s), document, p)
				for _, more := range []string{"/", "/-", "/0", "/00", "/+1", "/1", "/10", "/~0", "/meta"} {
					requireFind(r, viewOf(s), document, p+more)
				}
			}
		})
	})
	t.Run("names the longest part that is there", func(t *testing.T) {
		v := viewOf(smallOrchard(t))
		for _, c := range []struct{ pointer, want string }{
			{"/x/y", `there is nothing at path "/x/y": the document exists, but has no "x"; zero members are left out`},
			{"/", `there is nothing at path "/": the document exists, but has no ""`},
			{"/orchard/open", `"/orchard" exists, but has no "open"`},
			{"/orchard/trees/b/c", `"/orchard/trees" exists, but has no "b"`},
			{"/orchard/trees/a/fruit/2", `"/orchard/trees/a/fruit" exists, but has no "2"`},
			{"/orchard/trees/a/fruit/-", `"/orchard/trees/a/fruit" exists, but has no "-"`},
			{"/barn/tools/a~1b/text/x", `"/barn/tools/a~1b/text" exists, but has no "x"`},
			{"/meta/version/1", `"/meta/version" exists, but has no "1"`},
			{"/\xff", `has no "\xff"`},
		} {
			_, err := v.Find(c.pointer)
			require.True(t, NotFound.Is(err), c.pointer)
			require.ErrorContains(t, err, c.want)
		}
	})
	t.Run("refuses what is no pointer", func(t *testing.T) {
		for _, p := range []string{"x", "orchard/trees", "/a~", "/~2", "/a/~/b", "#/a"} {
			_, err := viewOf(smallOrchard(t)).Find(p)
			require.True(t, MalformedRequest.Is(err), p)
			require.ErrorContains(t, err, strconv.Quote(p))
		}
	})
	t.Run("an error of the writer comes back", func(t *testing.T) {
		for _, p := range []string{"", "/barn", "/barn/tools", "/barn/tools/a~1b", "/meta"} {
			n, err := viewOf(smallOrchard(t)).Find(p)
			require.NoError(t, err)
			_, err = n.WriteTo(&largestWrite{fail: io.ErrShortWrite})
			require.ErrorIs(t, err, io.ErrShortWrite, p)
		}
	})
}

func TestRowHash(t *testing.T) {
	v := viewOf(smallOrchard(t))
	hash, ok := v.rowHash("barn", "tools", "a/b")
	require.True(t, ok)
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(`{"text":"x"}`))), hash)
	hash, ok = v.rowHash("barn", "tools", "b")
	require.True(t, ok)
	require.Empty(t, hash)
	for _, c := range [][2]string{{"barn", "x"}, {"x", "tools"}, {"orchard", "count"}, {"meta", "tables"}, {"meta", "version"}} {
		_, ok = v.rowHash(c[0], c[1], "0")
		require.False(t, ok, c)
	}
}

func TestParseRowPath(t *testing.T) {
	domain, table, key, err := parseRowPath("/barn/tools/a~1b")
	require.NoError(t, err)
	require.Equal(t, []string{"barn", "tools", "a/b"}, []string{domain, table, key})
	for _, p := range []string{"", "/", "/barn/tools", "/barn/tools/a/text", "barn/tools/a", "/barn/tools/", "/barn/tools/é", "/barn/tools/~"} {
		_, _, _, err := parseRowPath(p)
		require.Error(t, err, p)
	}
}

func TestPage(t *testing.T) {
	t.Run("pages cover a table exactly", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			s := drawOrchard(r)
			v := viewOf(s)
			pointer := rapid.SampledFrom(tablePointers(s.defs())).Draw(r, "table")
			n, err := v.Find(pointer)
			require.NoError(r, err)
			limit := rapid.IntRange(1, 6).Draw(r, "limit")
			want := parsed(r, []byte(rendered(r, n))).(map[string]any)
			rows, pages, after := map[string]any{}, 0, ""
			for more := true; more; pages++ {
				var b bytes.Buffer
				require.NoError(r, n.Page(&b, after, limit))
				canonical, err := canon.Canonicalize(b.Bytes())
				require.NoError(r, err)
				require.Equal(r, string(canonical), b.String())
				page := parsed(r, b.Bytes()).(map[string]any)
				for key, row := range page["rows"].(map[string]any) {
					require.Greater(r, key, after)
					require.NotContains(r, rows, key)
					rows[key] = row
				}
				last := after
				if after, more = page["next"].(string); more {
					require.Greater(r, after, last)
					require.Contains(r, rows, after)
				}
			}
			require.Equal(r, want, rows)
			require.Equal(r, max(1, (len(want)+limit-1)/limit), pages)
		})
	})
	t.Run("a key that is gone is a place all the same", func(t *testing.T) {
		s := newState(orchardDefs, "n")
		s.domain("barn").write(func() {
			for _, k := range []string{"a", "c", "e"} {
				stateOf[barn](s, "barn").Tools.Put(label(k), gap{})
			}
		})
		n, err := viewOf(s).Find("/barn/tools")
		require.NoError(t, err)
		for _, c := range []struct {
			after string
			limit int
			want  string
		}{
			{"", 2, `{"next":"c","rows":{"a":{},"c":{}}}`},
			{"b", 1, `{"next":"c","rows":{"c":{}}}`},
			{"c", 1, `{"rows":{"e":{}}}`},
			{"e", 9, `{"rows":{}}`},
			{"\xff", 9, `{"rows":{}}`},
			{"", 10_000, `{"rows":{"a":{},"c":{},"e":{}}}`},
		} {
			var b bytes.Buffer
			require.NoError(t, n.Page(&b, c.after, c.limit))
			require.Equal(t, c.want, b.String())
		}
	})
	t.Run("refuses before it writes", func(t *testing.T) {
		v := viewOf(smallOrchard(t))
		for _, c := range []struct {
			pointer string
			limit   int
		}{{"/barn", 1}, {"/barn/tools/a~1b", 1}, {"", 1}, {"/barn/tools", 0}, {"/barn/tools", -1}, {"/barn/tools", 10_001}} {
			n, err := v.Find(c.pointer)
			require.NoError(t, err)
			var b bytes.Buffer
			require.True(t, MalformedRequest.Is(n.Page(&b, "", c.limit)), c.pointer)
			require.Zero(t, b.Len())
		}
	})
}

// FuzzPointer compares Find with a walk through the decoded document.
func FuzzPointer(f *testing.F) {
	s := smallOrchard(f)
	document := parsed(f, documentOf(f, s))
	for _, p := range everyPointer(document, "") {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pointer string) {
		if _, err := parsePointer(pointer); err != nil {
			require.True(t, MalformedRequest.Is(err))
			_, err = viewOf(s).Find(pointer)
			require.True(t, MalformedRequest.Is(err))
			return
		}
		requireFind(t, viewOf(s), document, pointer)
		_, _, _, _ = parseRowPath(pointer)
	})
}
