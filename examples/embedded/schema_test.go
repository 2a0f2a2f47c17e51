package main

import (
	"testing"

	"github.com/chorus-services/swoosh/internal/teststate"
)

// TestSchema: an import takes what openapi.json says, and nothing else.
func TestSchema(t *testing.T) { teststate.RequireSame(t, domain) }
