//go:build !linux

package powercut

import "testing"

func TestPowerCuts(t *testing.T) { t.Skip("loop devices are Linux's") }
