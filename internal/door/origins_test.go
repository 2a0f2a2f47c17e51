package door_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/door"
)

// TestHosts: only what cannot be a name that somebody else's page has is admitted.
func TestHosts(t *testing.T) {
	hosts := door.Hosts{"swoosh.example"}
	for host, beyond := range map[string]bool{
		"": true, "localhost:1": true, "[::1]": true, "10.0.0.1:1": true, "2001:db8::1": true, "SWOOSH.example:1": true,
		"localhost@evil": false, "evil": false, "10.0.0.1.": false, "0x7f.1": false, "[evil]": false, "localhost.": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		require.Equal(t, beyond, hosts.Admit(r, false), host)
		if host != "10.0.0.1:1" && host != "2001:db8::1" {
			require.Equal(t, beyond, hosts.Admit(r, true), host)
		} else {
			require.False(t, hosts.Admit(r, true), host)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "/run/s", Net: "unix"})))
		require.True(t, hosts.Admit(r, true), "no browser reaches it")
	}
}
