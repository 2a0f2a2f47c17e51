package repair_test

import (
	"testing"

	"github.com/chorus-services/swoosh/internal/testrun"
)

func TestMain(m *testing.M) { testrun.Main(m) }
