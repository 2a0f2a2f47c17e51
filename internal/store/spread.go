package store

import "slices"

// Spread chooses which of a series of files to keep: at most so many, of at most so
// many bytes together. places are the files' places in the series, ascending. One
// by one the file goes whose absence leaves the smallest gap, which is before the
// next one, or before end. So those that stay are spread over the whole series.
func Spread(places []uint64, bytes []int64, end uint64, most int, mostBytes int64) []uint64 {
	places, bytes = slices.Clone(places), slices.Clone(bytes)
	var sum int64
	for _, n := range bytes {
		sum += n
	}
	for len(places) > 0 && (len(places) > most || sum > mostBytes) {
		at, smallest := 0, ^uint64(0)
		for i := range places {
			before, after := uint64(0), end
			if i > 0 {
				before = places[i-1]
			}
			if i+1 < len(places) {
				after = places[i+1]
			}
			if gap := after - before; gap < smallest {
				at, smallest = i, gap
			}
		}
		sum -= bytes[at]
		places, bytes = slices.Delete(places, at, at+1), slices.Delete(bytes, at, at+1)
	}
	return places
}
