//go:build !linux

package durable

func (f *osFile) Datasync() error { return f.Sync() }
