package testrun_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

// TestAddress listens on an address, connects, and listens on it again.
func TestAddress(t *testing.T) {
	address := testrun.Address(t)
	_, err := net.Dial("tcp", address)
	require.Error(t, err, "nobody listens")
	for range 2 {
		ln, err := net.Listen("tcp", address)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, ln.Close())
	}
}
