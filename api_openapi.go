package swoosh

import (
	"cmp"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/openapi"
)

// getOpenAPI answers with the contract as OpenAPI 3.1, canonical.
func (x *exchange) getOpenAPI() error {
	server := openapi.Server{Version: cmp.Or(x.api.o.Version, "unknown")}
	for _, c := range x.engine.Commands() {
		server.Commands = append(server.Commands, openapi.Command(newCommandDocument(c)))
	}
	for _, d := range x.engine.defs {
		server.Domains = append(server.Domains, openapi.Domain{Name: d.name, Fields: membersOf(d.fields), Tables: membersOf(d.tables)})
	}
	for k := range kinds {
		server.Problems = append(server.Problems, openapi.Problem(newKindDocument(Kind(k))))
	}
	doc, err := openapi.Document(server)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, jsontext.Value(doc))
}

func membersOf(fields []field) (all []openapi.Member) {
	for _, f := range fields {
		all = append(all, openapi.Member{Name: f.name, Schema: f.codec.Schema()})
	}
	return all
}
