package pilot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// This file is the only one that knows how Pilot's files are laid out. What is documented
// of them is: the snapshot is JSON, with a version, from version 1 on with a checksum, and
// with next_node and pub_key_idx; the log has JSON records, each after its length, with a
// type and a seq_no that is always 0. The other names are those that Pilot's own words
// make likely; what has another name shows up in the report as unknown.

// snapshotFile is the snapshot: what Pilot knew when it wrote it.
type snapshotFile struct {
	Version  int    `json:"version"`
	Checksum string `json:"checksum"` // hex SHA-256 of the file without this member
	SavedAt  moment `json:"saved_at"`

	NextNode   uint64                       `json:"next_node"`
	Nodes      map[uint32]open[nodeRow]     `json:"nodes"`
	Keys       map[string]uint32            `json:"pub_key_idx"` // the node of each key
	NextNet    jsontext.Value               `json:"next_net"`    // networks have names here
	Networks   map[uint32]open[networkRow]  `json:"networks"`
	Trust      []string                     `json:"trust_pairs"`     // "1:2"
	Handshakes map[uint32][]open[askRow]    `json:"handshake_inbox"` // by who is asked
	Invites    map[uint32][]open[inviteRow] `json:"invite_inbox"`    // by who is invited
}

// nodeRow is a node, in the snapshot and where a record registers it.
type nodeRow struct {
	PublicKey  string   `json:"public_key"` // base64 or hex
	Owner      string   `json:"owner"`
	Hostname   string   `json:"hostname"`
	RealAddr   string   `json:"real_addr"`
	LANAddrs   []string `json:"lan_addrs"`
	Version    string   `json:"version"`
	ExternalID string   `json:"external_id"`
	RelayOnly  bool     `json:"relay_only"`
	Public     bool     `json:"public"`
	TaskExec   bool     `json:"task_exec"`
	Tags       []string `json:"tags"`
	Networks   []uint32 `json:"networks"`
	Registered moment   `json:"registered_at"`
	LastSeen   moment   `json:"last_seen"`
	KeyExpires moment   `json:"key_expires_at"`
}

// networkRow is a network, in the snapshot and where a record creates it.
type networkRow struct {
	Name       string              `json:"name"`
	JoinRule   string              `json:"join_rule"` // open, token or invite
	Token      string              `json:"token"`
	MaxMembers uint32              `json:"max_members"`
	Members    []uint32            `json:"members"`
	Roles      map[uint32]string   `json:"member_roles"`
	Tags       map[uint32][]string `json:"member_tags"`
	Created    moment              `json:"created"`
}

// askRow is a handshake that waits for an answer.
type askRow struct {
	From uint32 `json:"from_node"`
	Why  string `json:"justification"`
	At   moment `json:"timestamp"`
}

// inviteRow is an invitation that waits for an answer.
type inviteRow struct {
	Network uint32 `json:"network_id"`
	By      uint32 `json:"inviter_id"`
	At      moment `json:"timestamp"`
}

// record is a record of the log.
type record struct {
	Type  string         `json:"type"`
	SeqNo jsontext.Value `json:"seq_no"`
	At    moment         `json:"timestamp"`
	Data  jsontext.Value `json:"data"` // a recordData, if the type is known
}

// recordData is what records are about: each type has some of these members.
type recordData struct {
	nodeRow
	Node     uint32 `json:"node_id"`
	Peer     uint32 `json:"peer_id"`
	NewKey   string `json:"new_public_key"`
	Network  uint32 `json:"network_id"`
	Role     string `json:"role"`
	JoinRule string `json:"join_rule"`
	Token    string `json:"token"`
	Name     string `json:"name"`
}

// The types of records.
const (
	isRegister      = "register"
	isDeregister    = "deregister"
	isHeartbeat     = "heartbeat"
	isHostname      = "set_hostname"
	isTags          = "set_tags"
	isVisibility    = "set_visibility"
	isTaskExec      = "set_task_exec"
	isRotateKey     = "rotate_key"
	isTrust         = "trust_add"
	isRevoke        = "trust_revoke"
	isNetworkCreate = "network_create"
	isNetworkDelete = "network_delete"
	isNetworkJoin   = "network_join"
	isNetworkLeave  = "network_leave"
)

// open is an object that may have other members than T, which it keeps.
type open[T any] struct {
	is      T
	unknown map[string]jsontext.Value
}

// UnmarshalJSON reads the members that T has, and keeps the others.
func (o *open[T]) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &o.is); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &o.unknown); err != nil {
		return err
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		delete(o.unknown, f.Tag.Get("json"))
	}
	return nil
}

// moment is a time in ms, as RFC 3339 in the files; 0: none, or Go's zero time.
type moment uint64

// UnmarshalJSON fails unless b is a time as RFC 3339 has it, or an empty text.
func (m *moment) UnmarshalJSON(b []byte) error {
	if string(b) == `""` || string(b) == "null" {
		return nil
	}
	var t time.Time
	if err := t.UnmarshalJSON(b); err != nil {
		return fmt.Errorf("%.40s is not a time", b)
	}
	*m = moment(max(0, t.UnixMilli()))
	return nil
}

// newest is the newest version of a snapshot that this program reads.
const newest = 1

// readSnapshot reads a snapshot and checks its checksum, if its version has one.
func readSnapshot(file []byte) (s open[snapshotFile], err error) {
	var begin struct {
		Version int `json:"version"`
	}
	if v := jsontext.Value(file); v.IsValid() && v.Kind() != '{' {
		return s, fmt.Errorf("the snapshot is no JSON object: name a snapshot of Pilot's")
	}
	if err := json.Unmarshal(file, &begin); err != nil {
		return s, fmt.Errorf("the snapshot is not JSON: %w: name a snapshot of Pilot's", err)
	}
	if begin.Version < 0 || begin.Version > newest {
		return s, fmt.Errorf("the snapshot has version %d, and this program reads 0 and %d: use a newer one", begin.Version, newest)
	}
	if err := json.Unmarshal(file, &s); err != nil {
		return s, fmt.Errorf("the snapshot is not as this program knows it: %w", err)
	}
	if s.is.Version == 0 {
		return s, nil
	}
	rest, err := without(file, "checksum")
	if err != nil {
		return s, err
	}
	if is := sha256.Sum256(rest); hex.EncodeToString(is[:]) != s.is.Checksum {
		return s, fmt.Errorf("the snapshot's checksum says %.12q…, and its bytes have %.12x…: it was altered or is damaged, take another copy", s.is.Checksum, is)
	}
	return s, nil
}

// without returns the bytes of an object without one of its members, as they were before
// it was put in: nothing else is written anew.
func without(object []byte, name string) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if begin, err := d.ReadToken(); err != nil || begin.Kind() != '{' {
		return nil, fmt.Errorf("the snapshot is not an object: name a snapshot of Pilot's")
	}
	for isFirst := true; d.PeekKind() == '"'; isFirst = false {
		from := d.InputOffset() // before the comma
		token, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		is := token.String() == name
		if err := d.SkipValue(); err != nil {
			return nil, err
		}
		to := d.InputOffset()
		if !is {
			continue
		}
		rest := object[to:]
		if isFirst { // Its own comma is the one after it.
			if next := bytes.TrimLeft(rest, " \t\r\n"); len(next) > 0 && next[0] == ',' {
				rest = next[1:]
			}
		}
		return append(bytes.Clone(object[:from]), rest...), nil
	}
	return nil, fmt.Errorf("the snapshot has version 1 and no member %s: it was altered, take another copy", name)
}

const (
	lengthBytes   = 4       // before each record, big-endian
	recordMostLen = 1 << 20 // bytes
)

// readRecords calls each with the records of a log, in their order, and returns how many
// bytes at the end are a torn one.
func readRecords(log []byte, each func(at int, r open[record]) error) (torn int, err error) {
	for at := 0; at < len(log); {
		rest := log[at:]
		if len(rest) < lengthBytes {
			return len(rest), nil
		}
		length := int(binary.BigEndian.Uint32(rest))
		if length == 0 || length > recordMostLen {
			return 0, fmt.Errorf("the record at byte %d of the log has %d bytes, and must have 1 to %d: this is no log of Pilot's, or it is damaged there", at, length, recordMostLen)
		}
		if len(rest) < lengthBytes+length {
			return len(rest), nil
		}
		var r open[record]
		if err := json.Unmarshal(rest[lengthBytes:lengthBytes+length], &r); err != nil {
			return 0, fmt.Errorf("the record at byte %d of the log is not as this program knows it: %w", at, err)
		}
		if err := each(at, r); err != nil {
			return 0, err
		}
		at += lengthBytes + length
	}
	return 0, nil
}
