// Package contract tests that the description of the API, /openapi.json, is one that
// foreign generators take as it stands. oapi-codegen and ogen make clients from what
// a running server serves. The clients compile, and call the server.
//
// It is a module of its own, so that programs that embed the engine do not depend
// on the generators, nor on what their clients need.
package contract
