package bench

import "fmt"

// rows measures a command that changes one row, in a state of ten rows and in
// larger ones.
func rows(b *bench) error {
	sizes := []int{2 * rowsEach, b.Rows / 100, b.Rows}
	clients := []int{1, writers}
	most := map[int]float64{1: 1.3, writers: 1.8}
	var sides []func() error
	samples := make([][]load, len(sizes)*len(clients))
	for i, size := range sizes {
		dir, err := b.stateOf(size)
		if err != nil {
			return err
		}
		s, err := b.serve(dir)
		if err != nil {
			return err
		}
		body := failure(max(size/rowsEach, 1), 200)
		for k, n := range clients {
			c := b.caller(s, n)
			if err := c.warm(body); err != nil {
				return err
			}
			sides = append(sides, sampled(&samples[i*len(clients)+k], func() (load, error) { return c.post(body) }))
		}
	}
	if err := b.rounds(sides...); err != nil {
		return err
	}
	var all []figure[load]
	for k, n := range clients {
		for i, size := range sizes[1:] {
			m := Measure{
				What:  fmt.Sprintf("µs a command, %s rows, %s", grouped(fmt.Sprint(size)), clientsOf(n)),
				Floor: fmt.Sprintf("%d rows", sizes[0]), Clients: n, Rows: size,
			}
			if size == b.Rows {
				m.Goal.Most = most[n]
			}
			all = append(all, figure[load]{m, samples[k], samples[(i+1)*len(clients)+k], costs})
		}
	}
	return b.reportAll(all)
}

// clientsOf returns a number of clients in words.
func clientsOf(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}
