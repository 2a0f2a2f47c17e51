package bench

import (
	"bufio"
	"io"
	"net/http"

	"github.com/gorilla/mux"
)

// answer has the form and the length of an answer to a command.
const answer = `{"index":123456,"hlc":"019a2b3c4d5e-0000-0123456789abcdef","state_hash":"` +
	`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","changed":true,"duplicate":false}` + "\n"

// row has the form and the length of a project.
const row = `{"created":"019a2b3c4d5e-0000-0123456789abcdef","name":"Project","phase":"ACTIVE"}` + "\n"

func newHandler() http.Handler {
	r := mux.NewRouter()
	r.Methods(http.MethodPost).Path("/command").HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == typeNDJSON {
			answerLines(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		write(w, answer)
	})
	r.Methods(http.MethodGet).Path("/state").HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, row) })
	return r
}

func write(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body) // The client sees it if an answer is missing.
}

// answerLines answers each line of a stream. It flushes when no further line has
// arrived yet, as whoever answers at once must.
func answerLines(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // It fails only over HTTP/2.
	w.Header().Set("Content-Type", typeNDJSON)
	_ = rc.Flush()
	lines := bufio.NewReaderSize(r.Body, 64<<10)
	for {
		if _, err := lines.ReadSlice('\n'); err != nil {
			return
		}
		_, _ = io.WriteString(w, answer)
		if lines.Buffered() == 0 {
			_ = rc.Flush()
		}
	}
}
