package program

import (
	"errors"
	"log/slog"
	"net"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
	"github.com/chorus-services/swoosh/guard"
)

// door is how requests come in.
type door struct {
	listen       string
	group        string               // may use the socket; empty: the server's user alone
	tokens       *access.Tokens       // nil: every caller is an admin without a name
	certificates *access.Certificates // nil: no TLS
	guards       *guard.Rules         // nil: none, but those of the program
	hosts        []string
	origins      []string
	rate         float64
	watchers     int64
	debug        bool
}

// reload reads tokens, certificates and rules again. If that fails, the log says what
// holds until then.
func (d *door) reload() error {
	var err error
	if d.tokens != nil {
		err = d.tokens.Reload()
	}
	if d.certificates != nil {
		err = errors.Join(err, d.certificates.Reload())
	}
	if d.guards != nil {
		err = errors.Join(err, d.guards.Reload())
	}
	return err
}

// look reloads files that have changed, also while no request comes.
func (d *door) look() {
	if d.tokens != nil {
		d.tokens.Look()
	}
	if d.certificates != nil {
		d.certificates.Look()
	}
	if d.guards != nil {
		d.guards.Look()
	}
}

// warn logs what an open door means.
func (d *door) warn(log *slog.Logger) {
	switch open := isOpenToOthers(d.listen); {
	case open && d.tokens == nil:
		log.Warn("there are no tokens: whoever reaches the port may do everything, without a name", "listen", d.listen)
	case open && d.certificates == nil:
		log.Warn("there is no TLS: whoever hears the network has the tokens", "listen", d.listen)
	}
}

// listener returns what makes connections of the API's.
func (d *door) listener(api *swoosh.API) func(net.Listener) net.Listener {
	if d.certificates == nil {
		return api.Listener
	}
	return func(ln net.Listener) net.Listener { return api.TLSListener(ln, d.certificates.Config()) }
}

// scheme returns the scheme of the addresses of TCP listeners.
func (d *door) scheme() string {
	if d.certificates != nil {
		return "https"
	}
	return "http"
}

// failing returns why tokens or certificates could not be reloaded; nil if they
// could.
func (d *door) failing() error {
	var err error
	if d.tokens != nil {
		err = d.tokens.Failing()
	}
	if d.certificates != nil {
		err = errors.Join(err, d.certificates.Failing())
	}
	return err
}

// stale returns why the rules could not be reloaded; nil if they could.
func (d *door) stale() error {
	if d.guards == nil {
		return nil
	}
	return d.guards.Failing()
}

// reasons is failing and stale for GET /health.
func (d *door) reasons() (all []string) {
	if err := d.failing(); err != nil {
		all = append(all, "Tokens or certificates could not be reloaded, and nobody new is let in: "+strings.ReplaceAll(err.Error(), "\n", "; ")+".")
	}
	if err := d.stale(); err != nil {
		all = append(all, "The rules of --guards could not be reloaded, and the old ones stay in force: "+err.Error()+".")
	}
	return all
}

// gauge is failing and stale for Prometheus.
func (d *door) gauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "swoosh_reload_failing", Help: "1 while tokens, certificates or rules of guards cannot be reloaded, or else 0.",
	}, func() float64 {
		if d.failing() != nil || d.stale() != nil {
			return 1
		}
		return 0
	})
}
