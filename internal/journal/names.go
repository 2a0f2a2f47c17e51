package journal

import (
	"strings"

	"github.com/chorus-services/swoosh/internal/durable"
)

// IsFile reports whether a name is that of a file that a journal makes.
func IsFile(name string) bool {
	name = strings.TrimSuffix(name, durable.TempSuffix)
	_, spare := spareNumber(name)
	_, trim := trimFirst(name)
	return spare || trim || parseName(name) != nil
}
