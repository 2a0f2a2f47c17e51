package door

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Preferred returns the media type that a request prefers (RFC 9110, 12.5.1): the
// one with the greatest weight in Accept, of equal ones the one that is named more
// exactly, else the first. If none is acceptable, it returns the first too, since
// an answer that can be ignored is better than none.
func Preferred(request http.Header, kinds ...string) string {
	best, bestWeight, bestExact := kinds[0], 0.0, 0
	for _, kind := range kinds {
		weight, exact := weightOf(request.Values("Accept"), kind)
		if weight > bestWeight || weight > 0 && weight == bestWeight && exact > bestExact {
			best, bestWeight, bestExact = kind, weight, exact
		}
	}
	return best
}

// weightOf returns the weight that Accept gives a media type, by the range that
// names it most exactly: 2 is the type itself, 1 its group, 0 anything.
func weightOf(accept []string, kind string) (weight float64, exact int) {
	group, _, _ := strings.Cut(kind, "/")
	exactOf := map[string]int{kind: 2, group + "/*": 1, "*/*": 0}
	exact = -1
	for _, line := range accept {
		for one := range strings.SplitSeq(line, ",") {
			given, parameters, err := mime.ParseMediaType(one)
			as, meant := exactOf[given]
			if err != nil || !meant || as < exact {
				continue
			}
			q := 1.0
			if text, has := parameters["q"]; has {
				if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
					continue // A range with a weight that is none is as if it were not there.
				}
			}
			weight, exact = q, as
		}
	}
	return weight, exact
}
