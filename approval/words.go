package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// CommandName is the name of a command that can be made to need approvals, such as
// execution.submit. Those that stop or free the system cannot, nor can approvals
// themselves, and nothing that nodes do by themselves.
type CommandName string

// Validate returns an error if the form is wrong, or if the command cannot need approvals.
func (n CommandName) Validate() error {
	region, verb, _ := strings.Cut(string(n), ".")
	switch {
	case !isWord(region) || !isWord(verb):
		return fmt.Errorf("must be the name of a command, such as execution.submit, not %.140q", string(n))
	case slices.Contains([]string{"policy", "control", "boot", "window", "approval", "state", "log"}, region),
		n == "fleet.register", n == "fleet.heartbeat":
		return fmt.Errorf("must not be %s, which cannot need approvals", n)
	}
	return nil
}

// isWord reports whether a text is one of the two words of a command's name.
func isWord(s string) bool {
	return len(s) >= 1 && len(s) <= 63 && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

const namePattern = `[a-z][a-z0-9_]{0,62}\\.[a-z][a-z0-9_]{0,62}`

// neverPattern matches the beginning of names that Validate refuses.
const neverPattern = `^((policy|control|boot|window|approval|state|log)\\.|fleet\\.(register|heartbeat)(\\.|$))`

// JSONSchema returns the form as JSON Schema 2020-12.
func (CommandName) JSONSchema() string {
	return `{"examples":["execution.submit"],"not":{"pattern":"` + neverPattern + `"},"pattern":"^` + namePattern + `$","type":"string"}`
}

// RuleKey is a command, such as execution.submit, or a command and a project joined by a
// dot, such as execution.submit.alpha.
type RuleKey string

func ruleKey(command string, project noun.ID) RuleKey {
	if project == "" {
		return RuleKey(command)
	}
	return RuleKey(command + "." + string(project))
}

// Validate returns an error if the form is wrong.
func (k RuleKey) Validate() error {
	words := strings.SplitN(string(k), ".", 3)
	if len(words) == 3 && noun.ID(words[2]).Validate() != nil || len(words) < 2 {
		return errors.New("must be a command, or a command and a project joined by a dot, such as execution.submit.alpha")
	}
	return CommandName(words[0] + "." + words[1]).Validate()
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (RuleKey) JSONSchema() string {
	return `{"not":{"pattern":"` + neverPattern + `"},"pattern":"^` + namePattern + `(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$","type":"string"}`
}

// Count is a number of approvals, from 1 to 100.
type Count uint8

const countMax = 100

// Validate returns an error if the number is out of range.
func (c Count) Validate() error {
	if c < 1 || c > countMax {
		return fmt.Errorf("must be an integer from 1 to %d, not %d", countMax, c)
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Count) JSONSchema() string {
	return fmt.Sprintf(`{"maximum":%d,"minimum":1,"type":"integer"}`, countMax)
}

// True is true wherever it is given.
type True bool

// Validate returns an error if it is false.
func (t True) Validate() error {
	if !t {
		return errors.New("must be true, or be left out")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (True) JSONSchema() string { return `{"const":true,"type":"boolean"}` }

// Nodes is a list of 1 to 100 nodes, without duplicates.
type Nodes []fleet.NodeID

const nodesMax = 100

// Validate returns an error if the list as a whole is wrong.
func (l Nodes) Validate() error { return noun.CheckList(l, nodesMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Nodes) JSONSchema() string { return noun.ListSchema[fleet.NodeID](nodesMax) }

// Content is a command that is asked for, as the canonical JSON (RFC 8785) of an object
// with command, payload, idempotency_key and key_since: at most 64 KiB (65536 bytes).
type Content string

const contentMaxBytes = 64 << 10

// Validate returns an error if the form is wrong.
func (c Content) Validate() error {
	if len(c) > contentMaxBytes {
		return fmt.Errorf("must have at most %d bytes, not %d", contentMaxBytes, len(c))
	}
	_, err := swoosh.ParseContent(string(c))
	return err
}

// hash returns the key of an ask for a content whose form is right.
func (c Content) hash() Hash {
	command, _ := swoosh.ParseContent(string(c))
	return Hash(command.Content().String())
}

// contentPattern matches a content, but for what its payload is.
const contentPattern = `^\\{\"command\":\"` + namePattern + `\",\"idempotency_key\":\"[!#-\\[\\]-~]{1,255}\",\"key_since\":\"[0-9a-f]{12}-[0-9a-f]{4}-[a-z0-9-]{1,63}\",\"payload\":\\{[\\s\\S]*\\}\\}$`

// contentExample is one.
const contentExample = `{\"command\":\"execution.submit\",\"idempotency_key\":\"release-7\",\"key_since\":\"0197a2b4c000-0000-n1\",\"payload\":{\"artifact\":\"oci://registry/app:v1\",\"project\":\"alpha\"}}`

// JSONSchema returns the form as JSON Schema 2020-12, which cannot say that the payload is
// canonical. It counts code points, not bytes.
func (Content) JSONSchema() string {
	return fmt.Sprintf(`{"examples":["%s"],"maxLength":%d,"minLength":1,"pattern":"%s","type":"string"}`, contentExample, contentMaxBytes, contentPattern)
}

// Hash names a content: SHA-256 of "swoosh approval 1", a line feed, and the content, as
// 64 lower-case hex digits.
type Hash string

const hashLen = 64

// Validate returns an error if the form is wrong.
func (h Hash) Validate() error {
	if len(h) != hashLen || strings.Trim(string(h), "0123456789abcdef") != "" {
		return fmt.Errorf("must be %d lower-case hex digits", hashLen)
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Hash) JSONSchema() string { return `{"pattern":"^[0-9a-f]{64}$","type":"string"}` }

// ApprovalKey is a content's hash and a node joined by a dot, so that what was said to a
// command stands together.
type ApprovalKey string

func approvalKey(content Hash, node fleet.NodeID) ApprovalKey {
	return ApprovalKey(string(content) + "." + string(node))
}

// node returns the node.
func (k ApprovalKey) node() fleet.NodeID {
	_, node, _ := strings.Cut(string(k), ".")
	return fleet.NodeID(node)
}

// Validate returns an error if the form is wrong.
func (k ApprovalKey) Validate() error {
	hash, _, _ := strings.Cut(string(k), ".")
	if Hash(hash).Validate() != nil || k.node().Validate() != nil {
		return errors.New("must be the hash of a content and a node joined by a dot")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (ApprovalKey) JSONSchema() string {
	return `{"pattern":"^[0-9a-f]{64}\\.` + fleet.NodePattern + `$","type":"string"}`
}
