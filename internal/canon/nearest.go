package canon

import (
	"strconv"
	"unicode/utf8"
)

// Nearest returns the candidate that was probably meant by word: the first with
// the smallest distance, if that is at most a third of word's length; otherwise
// "". The distance is Damerau-Levenshtein: characters added, omitted, replaced,
// and neighbours swapped, with no substring edited twice.
func Nearest(word string, among []string) string {
	length := utf8.RuneCountInString(word)
	best, found := length/3+1, ""
	for _, other := range among {
		if apart(utf8.RuneCountInString(other), length) >= best {
			continue
		}
		if d := distance([]rune(word), []rune(other)); d < best {
			best, found = d, other
		}
	}
	return found
}

func apart(a, b int) int { return max(a, b) - min(a, b) }

// distance keeps three rows of the table: the current one, the previous one,
// and for swaps the one before that.
func distance(a, b []rune) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := old[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(old[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}

// hint suggests the member that was probably meant, if one is near.
func (p *plan) hint(name string) string {
	names := make([]string, len(p.fields))
	for i := range p.fields {
		names[i] = p.fields[i].name
	}
	if near := Nearest(name, names); near != "" {
		return " (did you mean " + strconv.Quote(near) + "?)"
	}
	return ""
}
