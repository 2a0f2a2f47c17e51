package program

import (
	"errors"
	"log/slog"
	"net"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
)

// door is how requests come in.
type door struct {
	listen       string
	group        string               // may use the socket; empty: the server's user alone
	tokens       *access.Tokens       // nil: every caller is an admin without a name
	certificates *access.Certificates // nil: no TLS
	hosts        []string
	origins      []string
	rate         float64
	watchers     int64
	debug        bool
}

// reload reads tokens and certificates again. If that fails, the log says what
// holds until then.
func (d *door) reload() error {
	var err error
	if d.tokens != nil {
		err = d.tokens.Reload()
	}
	if d.certificates != nil {
		err = errors.Join(err, d.certificates.Reload())
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

// reasons is failing for GET /health.
func (d *door) reasons() []string {
	if err := d.failing(); err != nil {
		return []string{"Tokens or certificates could not be reloaded, and nobody new is let in: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "."}
	}
	return nil
}

// gauge is failing for Prometheus.
func (d *door) gauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "swoosh_reload_failing", Help: "1 while tokens or certificates cannot be reloaded, or else 0.",
	}, func() float64 {
		if d.failing() != nil {
			return 1
		}
		return 0
	})
}
