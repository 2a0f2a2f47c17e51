package door

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPreferred(t *testing.T) {
	const json, lines = "application/json", "application/x-ndjson"
	for accept, want := range map[string]string{
		"":    json,
		"*/*": json, "application/*": json, "text/html": json,
		lines: lines, "Application/X-NDJSON": lines,
		"text/html, application/x-ndjson;q=0.5":               lines,
		"application/x-ndjson;q=0":                            json,
		"application/x-ndjson;q=0, */*":                       json,
		"application/json;q=0.9, application/x-ndjson;q=0.1":  json,
		"application/json;q=0.1, application/x-ndjson;q=0.9":  lines,
		"application/x-ndjson, */*;q=0.1":                     lines,
		"application/x-ndjson, */*":                           lines,
		"*/*;q=0.5, application/x-ndjson;q=0.2":               json,
		"application/*;q=0.5, application/json;q=0":           lines,
		"application/json, application/x-ndjson":              json,
		"application/x-ndjson;q=x, application/json;q=0.1":    json,
		"application/x-ndjson;q=2, application/json;q=0.1":    json,
		"application/x-ndjson;q=NaN, application/json;q=0.1":  json,
		"application/x-ndjson;q=0.001":                        lines,
		"application/json;q=x, */*":                           json,
		"application/json;q=-1, */*":                          json,
		"application/json;q=NaN, */*":                         json,
		"application/x-ndjson;=x, application/json;q=0.1":     json,
		"application/json;q=0.5, application/x-ndjson; q=0.6": lines,
	} {
		require.Equal(t, want, Preferred(http.Header{"Accept": {accept}}, json, lines), accept)
	}
	require.Equal(t, lines, Preferred(http.Header{"Accept": {"text/html", lines}}, json, lines), "in a second line")
	require.Equal(t, json, Preferred(http.Header{}, json, lines))
}
