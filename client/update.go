package client

import "context"

// Update changes a row only if it has not changed since it was read. It reads
// the table row at a JSON Pointer, calls decide to make a command from it, and
// sends that command with an Expect of the row as read. If the row has changed
// meanwhile, Update starts over, within the budget of Retry, so decide may be
// called many times. If there is no such row, decide gets nil.
//
//	client.Update(ctx, c, "/project/projects/alpha", func(p *Project) (client.Command, error) {
//		if p == nil {
//			return client.Command{}, errors.New("there is no alpha")
//		}
//		return client.Command{Name: "project.archive", Payload: Archive{"alpha"}}, nil
//	})
//
// If decide fails, Update returns its error unchanged. Other errors are those
// of Get and Do.
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
