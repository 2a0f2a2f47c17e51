package client

import "context"

// Update alters a row only if nobody else has altered it since it was read. It
// reads the row of a table at a JSON Pointer, has decide make a command of it,
// and sends that with an Expect of the row as it was read. If the row has
// changed meanwhile it begins anew, within the budget of Retry: decide may be
// called many times. A row that is not there is nil.
//
//	client.Update(ctx, c, "/project/projects/alpha", func(p *Project) (client.Command, error) {
//		if p == nil {
//			return client.Command{}, errors.New("there is no alpha")
//		}
//		return client.Command{Name: "project.archive", Payload: Archive{"alpha"}}, nil
//	})
//
// An error of decide ends it and is given as it is; others are those of Get and
// Do.
func Update[T any](ctx context.Context, c *Client, row string, decide func(*T) (Command, error)) (Result, error) {
	b := c.backoff()
	for {
		command, err := decideOn(ctx, c, row, decide)
		if err != nil {
			return Result{}, err
		}
		result, err := c.Do(ctx, command)
		if !IsCode(err, StaleState) {
			return result, err
		}
		if err := b.wait(ctx, err); err != nil {
			return Result{}, err
		}
	}
}

func decideOn[T any](ctx context.Context, c *Client, row string, decide func(*T) (Command, error)) (Command, error) {
	value, m, err := Get[T](ctx, c, row)
	there := &value
	switch {
	case IsCode(err, NotFound):
		there, m.ETag = nil, ""
	case err != nil:
		return Command{}, err
	}
	command, err := decide(there)
	command.Expect = &Expect{Path: row, Hash: m.ETag}
	return command, err
}
