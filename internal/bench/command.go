package bench

import (
	"fmt"
	"strings"

	"github.com/chorus-services/swoosh"
)

// Commands are those that scenarios send: of package project, which the program
// must have.
func Commands() []string { return []string{create, fail} }

const (
	create = "project.create" // makes five rows
	fail   = "ingestion.fail" // changes one
)

// rowsEach are the rows that a project has.
const rowsEach = 5

// projectsMost is more than a state has before the loads. Those of loads have
// higher numbers.
const projectsMost = 10_000_000

// creation returns a command of 200 bytes that creates the n-th project.
func creation(n int64) []byte {
	return fmt.Appendf(nil, `{"command":"`+create+`","payload":{"project":"p%d","name":"Project number %d, with a name that has the length of a title that people give"},"idempotency_key":"0123456789abcdef-%08d"}`, n, n, n)
}

// failure returns a function that makes commands of about bytes that change a row of
// one of so many projects.
func failure(projects, bytes int) func(n int64) []byte {
	const around = `{"command":"` + fail + `","payload":{"project":"p1234567","error":""},"idempotency_key":"0123456789abcdef-12345678"}`
	text := strings.Repeat("x", max(bytes-len(around), 1))
	return func(n int64) []byte {
		return fmt.Appendf(nil, `{"command":"`+fail+`","payload":{"project":"p%d","error":"%s"},"idempotency_key":"fedcba9876543210-%08d"}`, scatter(n, projects), text, n)
	}
}

// scatter returns a number from 1 to most that differs much from that of n-1, so
// that neighbours in time are none in a table.
func scatter(n int64, most int) int64 { return int64(uint64(n)*0x9e3779b97f4a7c15>>33)%int64(most) + 1 }

// creationOf is creation for an engine in this process.
func creationOf(n int64) swoosh.Request {
	return swoosh.Request{
		Command: create, IdempotencyKey: fmt.Sprintf("0123456789abcdef-%08d", n),
		Payload: fmt.Appendf(nil, `{"project":"p%d","name":"Project number %d, with a name that has the length of a title that people give"}`, n, n),
	}
}

// failureOf is failure, of 300 bytes, for an engine in this process.
func failureOf(n int64, projects int) swoosh.Request {
	return swoosh.Request{
		Command: fail, IdempotencyKey: fmt.Sprintf("fedcba9876543210-%08d", n),
		Payload: fmt.Appendf(nil, `{"project":"p%d","error":"%s"}`, scatter(n, projects), textOf300),
	}
}

var textOf300 = strings.Repeat("x", 190)
