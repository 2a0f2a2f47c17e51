package statehash

// Adder adds up the digests of many rows on a goroutine of its own, while its
// caller finds the rows.
type Adder struct {
	batch   []placed
	batches chan []placed
	spent   chan []placed // to be filled again
	sum     chan Sum
}

// placed is a row and its place.
type placed struct{ domain, table, key, json string }

// batchRows is how many rows go to the goroutine at a time, so that handing them
// over costs nothing beside the digests.
const batchRows = 256

// NewAdder starts an adder. Its goroutine ends with Sum.
func NewAdder() *Adder {
	a := &Adder{batches: make(chan []placed, 4), spent: make(chan []placed, 8), sum: make(chan Sum, 1)}
	go a.run()
	return a
}

func (a *Adder) run() {
	var h Hasher
	for batch := range a.batches {
		for i := range batch {
			r := &batch[i]
			h.Add(append(h.Place(r.domain, r.table, r.key), r.json...))
		}
		a.spent <- batch[:0] // There is room: no more batches exist.
	}
	a.sum <- h.Sum
}

// Add adds the digest of a row's canonical JSON.
func (a *Adder) Add(domain, table, key, json string) {
	if a.batch = append(a.batch, placed{domain, table, key, json}); len(a.batch) < batchRows {
		return
	}
	a.batches <- a.batch
	select {
	case a.batch = <-a.spent:
	default:
		a.batch = make([]placed, 0, batchRows)
	}
}

// Sum returns the sum of all digests, and ends the adder.
func (a *Adder) Sum() Sum {
	a.batches <- a.batch
	close(a.batches)
	return <-a.sum
}
