package client_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// answering is a transport that makes up answers.
type answering func(*http.Request) (body string)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	body := a(r)
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Swoosh-Index": {"100"}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// TestKeySinceIsFresh: after reading old entries for hours, the client does not
// take its newest stamp for a recent one.
func TestKeySinceIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now, asked := "0197a2b4c000-0000-n1", ""
		c, err := client.New("http://x", client.Options{Transport: stamped{&now, func(r *http.Request) string {
			if r.URL.Path == "/log" {
				var b strings.Builder
				for i := range 100 {
					fmt.Fprintf(&b, `{"index":%d,"hlc":"0197a2b00000-%04x-n1","command":"x","payload":{}}`+"\n", i+1, i)
				}
				return b.String()
			}
			if r.Method == http.MethodPost {
				b, _ := io.ReadAll(r.Body)
				asked = string(b)
			}
			return `{"index":101}`
		}}})
		require.NoError(t, err)
		for e, err := range c.Log(t.Context(), 1) {
			require.NoError(t, err)
			if e.Index < 100 {
				time.Sleep(time.Hour)
			}
		}
		now = "019f00000000-0000-n1"
		_, err = c.Do(t.Context(), client.Command{Name: "x"})
		require.NoError(t, err)
		require.Contains(t, asked, now)
	})
}

// stamped returns answers with the stamp of the server's clock.
type stamped struct {
	now *string
	answering
}

func (s stamped) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.answering.RoundTrip(r)
	answer.Header.Set("Swoosh-HLC", *s.now)
	return answer, err
}
