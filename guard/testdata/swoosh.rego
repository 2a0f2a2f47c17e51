# Who adds a book must own it: a policy for the web service of a rule, whose
# URL ends in /v1/data/swoosh.
package swoosh

default allow := false

allow if not refused

refused if {
	input.command == "book.add"
	input.payload.owner != input.actor
}

reasons contains sprintf("%s adds no book of %s", [input.actor, input.payload.owner]) if refused

reasons contains "the book is there" if input.rows.b != null

undecided if input.command == "none"
