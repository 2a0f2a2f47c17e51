package bench

// goals are those of overHTTP, by clients.
var goals = map[int]struct{ handler, etcd, p99, cpu Goal }{
	64:  {Goal{Least: 0.6}, Goal{Least: 2}, Goal{Most: 2.5}, Goal{Most: 2.4}},
	256: {handler: Goal{Least: 0.6}, etcd: Goal{Least: 1.5}},
}

// overHTTP measures clients that post project.create, one command a request, on a
// state that grows.
func overHTTP(clients int) func(*bench) error {
	return func(b *bench) error {
		var handler, swoosh, etcd []load
		sides, stop, err := b.sidesOverHTTP(clients, &handler, &swoosh, &etcd)
		if err != nil {
			return err
		}
		defer stop()
		if err := b.rounds(sides...); err != nil {
			return err
		}
		goal := goals[clients]
		return b.reportAll([]figure[load]{
			{Measure{What: "commands/s", Floor: "empty handler", Goal: goal.handler, Clients: clients}, handler, swoosh, perSecond},
			{Measure{What: "p50, ms", Floor: "empty handler"}, handler, swoosh, p50},
			{Measure{What: "p99, ms", Floor: "empty handler", Goal: goal.p99}, handler, swoosh, p99},
			{Measure{What: "server's CPU a command, µs", Floor: "empty handler", Goal: goal.cpu}, handler, swoosh, cpu},
			{Measure{What: "commands/s", Floor: "etcd", Goal: goal.etcd, Clients: clients}, etcd, swoosh, perSecond},
		})
	}
}

// sidesOverHTTP starts what is compared over HTTP and returns a side for each.
func (b *bench) sidesOverHTTP(clients int, handler, swoosh, etcd *[]load) (sides []func() error, stop func(), err error) {
	h, err := b.handler()
	if err != nil {
		return nil, nil, err
	}
	s, err := b.serve(b.dir("http"))
	if err != nil {
		return nil, nil, err
	}
	toHandler, toSwoosh := b.caller(h, clients), b.caller(s, clients)
	for _, c := range []*caller{toHandler, toSwoosh} {
		if err := c.warm(creation); err != nil {
			return nil, nil, err
		}
	}
	sides = append(sides,
		sampled(handler, func() (load, error) { return toHandler.post(creation) }),
		sampled(swoosh, func() (load, error) { return toSwoosh.post(creation) }))
	stop = func() {}
	if b.Etcd != "" {
		e, err := b.startEtcd(clients)
		if err != nil {
			return nil, nil, err
		}
		stop = e.close
		sides = append(sides, sampled(etcd, func() (load, error) { return run(b.ctx, clients, b.Time, e.put) }))
	}
	return sides, stop, nil
}

// oneOverHTTP holds one client against a round trip and a sync of 4 KiB.
func oneOverHTTP(b *bench) error {
	var handler, swoosh, etcd, syncs []load
	sides, stop, err := b.sidesOverHTTP(1, &handler, &swoosh, &etcd)
	if err != nil {
		return err
	}
	defer stop()
	f, err := createRaw(b.dir("raw"), 1<<20)
	if err != nil {
		return err
	}
	defer f.close()
	sides = append(sides, sampled(&syncs, func() (load, error) {
		return run(b.ctx, 1, b.Time, func(int) error { return f.write(4096) })
	}))
	if err := b.rounds(sides...); err != nil {
		return err
	}
	least := column(handler, p50)
	for i, s := range syncs {
		least[i] += s.p50
	}
	if err := b.report(Measure{What: "p50, ms", Floor: "round trip and fdatasync", Goal: Goal{Most: 1.35}}, least, column(swoosh, p50)); err != nil {
		return err
	}
	return b.reportAll([]figure[load]{
		{Measure{What: "commands/s", Floor: "empty handler", Clients: 1}, handler, swoosh, perSecond},
		{Measure{What: "p99, ms", Floor: "fdatasync"}, syncs, swoosh, p99},
		{Measure{What: "commands/s", Floor: "etcd", Clients: 1}, etcd, swoosh, perSecond},
	})
}

// figure is a measure with what it is made of.
type figure[T any] struct {
	Measure
	floor, swoosh []T
	of            func(T) float64
}

// reportAll reports the figures whose floor was measured.
func (b *bench) reportAll(all []figure[load]) error {
	for _, f := range all {
		if len(f.floor) == 0 {
			continue
		}
		if err := b.report(f.Measure, column(f.floor, f.of), column(f.swoosh, f.of)); err != nil {
			return err
		}
	}
	return nil
}

// streams measures commands of one row and of five over one connection.
func streams(b *bench) error {
	h, err := b.handler()
	if err != nil {
		return err
	}
	const projects = 1000
	dir, err := b.stateOf(projects * rowsEach)
	if err != nil {
		return err
	}
	s, err := b.serve(dir)
	if err != nil {
		return err
	}
	toHandler, toSwoosh := b.caller(h, 1), b.caller(s, 1)
	var handler, one, five []load
	err = b.rounds(
		sampled(&handler, func() (load, error) { return toHandler.stream(creation) }),
		sampled(&one, func() (load, error) { return toSwoosh.stream(failure(projects, 200)) }),
		sampled(&five, func() (load, error) { return toSwoosh.stream(creation) }),
	)
	if err != nil {
		return err
	}
	return b.reportAll([]figure[load]{
		{Measure{What: "commands/s of one row", Floor: "empty handler", Goal: Goal{Least: 100_000, Value: true}}, handler, one, perSecond},
		{Measure{What: "project.create/s", Floor: "empty handler", Goal: Goal{Least: 50_000, Value: true}}, handler, five, perSecond},
		{Measure{What: "server's CPU a command of one row, µs", Floor: "empty handler"}, handler, one, cpu},
		{Measure{What: "server's CPU a project.create, µs", Floor: "empty handler"}, handler, five, cpu},
	})
}
