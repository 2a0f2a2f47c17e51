package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// etcd is one node of etcd, with its own settings. Its clients speak gRPC: those
// of etcd's JSON gateway cost it several times as much.
type etcd struct {
	address string
	clients []*http.Client // each has a connection, shared by a few
	next    atomic.Int64
}

// clientsEach share a connection to etcd. With one each it is slower; with 64, no
// faster.
const clientsEach = 8

func newEtcd(address string, clients int) *etcd {
	e := &etcd{address: address}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	for range (clients + clientsEach - 1) / clientsEach {
		e.clients = append(e.clients, &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}})
	}
	return e
}

// startEtcd starts etcd and waits until it takes a key.
func (b *bench) startEtcd(clients int) (*etcd, error) {
	port, peer, err := freePorts()
	if err != nil {
		return nil, err
	}
	e := newEtcd(fmt.Sprintf("http://127.0.0.1:%d", port), clients)
	peers := fmt.Sprintf("http://127.0.0.1:%d", peer)
	c := b.newChild(b.Etcd, "--data-dir", b.dir("etcd"), "--log-level", "error", "--name", "bench",
		"--listen-client-urls", e.address, "--advertise-client-urls", e.address, "--listen-peer-urls", peers,
		"--initial-advertise-peer-urls", peers, "--initial-cluster", "bench="+peers, "--quota-backend-bytes", fmt.Sprint(8<<30))
	if err := b.begin(c); err != nil {
		return nil, err
	}
	for until := time.Now().Add(stopWithin); ; {
		err := e.put(0)
		if err == nil {
			return e, nil
		}
		select {
		case <-b.ctx.Done():
			return nil, b.ctx.Err()
		case <-c.ended:
			return nil, fmt.Errorf("%s ended: %s", b.Etcd, c.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("%s takes no keys: %w", b.Etcd, err)
		}
	}
}

// valueOf200 is a value of 200 bytes.
var valueOf200 = bytes.Repeat([]byte("x"), 200)

// put calls etcdserverpb.KV/Put (etcd's api/etcdserverpb/rpc.proto) with a new key.
func (e *etcd) put(client int) error {
	key := fmt.Appendf(nil, "p%08d", e.next.Add(1))
	m := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), key)
	m = protowire.AppendBytes(protowire.AppendTag(m, 2, protowire.BytesType), valueOf200)
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...) // Not compressed, length, message.
	r, err := http.NewRequest(http.MethodPost, e.address+"/etcdserverpb.KV/Put", bytes.NewReader(framed))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	answer, err := e.clients[client%len(e.clients)].Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	status, message := answer.Trailer.Get("Grpc-Status"), answer.Trailer.Get("Grpc-Message")
	if status == "" { // An answer without a message has all in its header.
		status, message = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	if status != "0" {
		return fmt.Errorf("etcd answered with gRPC status %s: %s", status, strings.TrimSpace(message))
	}
	return nil
}

func (e *etcd) close() {
	for _, c := range e.clients {
		c.CloseIdleConnections()
	}
}

// freePorts returns two ports that nothing listens on.
func freePorts() (one, two int, err error) {
	for _, port := range []*int{&one, &two} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer ln.Close()
		*port = ln.Addr().(*net.TCPAddr).Port
	}
	return one, two, nil
}
