package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// Node is a node that runs. It is safe for concurrent use.
type Node struct {
	o      Options
	dir    dir
	engine *swoosh.Engine // nil: it has none

	session string          // of this run
	began   time.Time       // likewise
	trouble chan error      // gets why the hub does not take what the node signs
	posting context.Context // ends some time after Run is to stop

	// Owned by live.
	registered position  // of this run's registration; zero: there is none that holds
	seen       string    // the greatest stamp of the hub that the node knows
	beat       time.Time // when the next heartbeat is due
	row        nodeRow   // as last read
	etag       string    // of row
	files      string    // the key files when they were last read
	named      position  // the entry that was last looked for by its stamp
	refused    error     // what look is to explain; nil: nothing

	all sync.WaitGroup // of the followers

	mu      sync.Mutex
	hub     Home
	state   State
	reasons [reasonKinds]string
	may     standing
}

// standing is what the node may do at the hub, until it looks again.
type standing struct {
	api  *client.Client // signs as the node; nil: it may not post
	over chan struct{}  // closed when there is another standing
}

// The patience of a node with its hub.
const (
	firstPause   = time.Second
	longestPause = time.Minute
	lookEvery    = 5 * time.Minute // while the node may not post
	lookAtFiles  = 5 * time.Second // for another key, meanwhile
	stopMost     = 10 * time.Second
)

// once is for calls that Run repeats by itself.
var once = client.Retry{Attempts: 1}

// Run is the node until ctx ends: it registers, says that it is there, and serves its own
// engine. That its hub is away is no reason to end. The error is ErrElsewhere if another
// program took the node's place, or says what is wrong with the directory, the engine, Work,
// or a stop that was not in order.
func Run(ctx context.Context, o Options) (err error) {
	if o.Listener != nil {
		defer o.Listener.Close() // If it was served, it is closed already.
	}
	if o, err = o.complete(); err != nil {
		return err
	}
	n := &Node{o: o, dir: dir(o.Dir), session: newSession(), began: o.now(), trouble: make(chan error, 1), may: standing{over: make(chan struct{})}}
	if n.hub, err = n.dir.readHub(); err != nil {
		return err
	}
	unlock, err := n.dir.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := n.dir.readKeys(); err != nil {
		return fmt.Errorf("the key cannot be used: %w", err)
	}
	n.state = State{Node: n.hub.Node, Hostname: n.hub.Hostname, Hub: HubState{Address: n.hub.Address, ID: n.hub.Hub}}

	var stopPosting context.CancelFunc
	n.posting, stopPosting = context.WithCancel(context.WithoutCancel(ctx))
	defer stopPosting()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopMost, stopPosting) })()

	site, err := n.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(n.work(ctx, site), site.close())
}

// work runs what the node consists of, until one of it ends.
func (n *Node) work(ctx context.Context, s *site) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	start := func(part func(context.Context) error) {
		all.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	start(n.live)
	start(s.serve)
	if n.o.Work != nil {
		start(func(ctx context.Context) error { return n.o.Work(ctx, n) })
	}
	<-ctx.Done()
	all.Wait()
	if why := context.Cause(ctx); !errors.Is(why, context.Canceled) && !errors.Is(why, context.DeadlineExceeded) {
		return why
	}
	return nil
}

// Engine returns the node's own engine; nil if it has none.
func (n *Node) Engine() *swoosh.Engine { return n.engine }

// ID returns what the hub calls the node.
func (n *Node) ID() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hub.Node
}

// Do posts a command that the node signs, once however often it is sent. While the node may
// not post, because its hub is away or does not want it, Do waits until it may, or ctx ends.
// The error is what the hub says about the command.
func (n *Node) Do(ctx context.Context, command client.Command) (client.Result, error) {
	var refused error
	for {
		n.mu.Lock()
		may := n.may
		n.mu.Unlock()
		if may.api != nil {
			result, err := n.post(ctx, may.api, &command)
			if err == nil || !isAway(err) && (!isRefusal(err) || refused != nil) || ctx.Err() != nil {
				return result, err
			}
			if isRefusal(err) {
				refused = err
			}
			n.tell(err)
		}
		select {
		case <-may.over:
		case <-n.posting.Done():
			return client.Result{}, fmt.Errorf("%s was not posted: the node has stopped", command.Name)
		case <-ctx.Done():
			return client.Result{}, fmt.Errorf("%s was not posted: %w", command.Name, context.Cause(ctx))
		}
	}
}

// post posts a command once. One that is under way when Run is to stop has some time to
// finish. The command keeps its idempotency key for another attempt.
func (n *Node) post(ctx context.Context, api *client.Client, command *client.Command) (client.Result, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(n.posting, cancel)()
	result, err := api.Do(ctx, *command)
	var e *client.Error
	if errors.As(err, &e) && len(e.Again) == 1 {
		command.Key, command.KeySince = e.Again[0].Key, e.Again[0].KeySince
	}
	return result, err
}

// tell has live look at the hub.
func (n *Node) tell(err error) {
	select {
	case n.trouble <- err:
	default: // It has been told.
	}
}

// stand sets what the node may do from now on.
func (n *Node) stand(api *client.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.may.api != nil {
		n.may.api.Close()
	}
	close(n.may.over)
	n.may = standing{api, make(chan struct{})}
}

// live attends to the hub until ctx ends. It returns an error if there is no point in going
// on.
func (n *Node) live(ctx context.Context) error {
	defer n.all.Wait()
	for pause := firstPause; ctx.Err() == nil; {
		up, err := n.attend(ctx)
		n.stand(nil)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, ErrElsewhere) {
			return err
		}
		n.say(trouble, err.Error())
		if up {
			pause = firstPause
		}
		var f *fault
		if errors.As(err, &f) {
			n.rest(ctx)
			continue
		}
		select {
		case <-n.o.after(n.o.around(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

// rest waits while the node may not post, until it is time to look again or its key files
// change.
func (n *Node) rest(ctx context.Context) {
	enough := n.o.after(n.o.around(lookEvery))
	for {
		select {
		case <-enough:
			return
		case <-n.o.after(lookAtFiles):
			if n.dir.changed() != n.files {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// newSession returns the name of a run: 26 characters of chance.
func newSession() string { return strings.ToLower(rand.Text()) }
