package swoosh

import (
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
)

// debugRoutes are those of APIOptions.Debug. They are no part of the contract:
// neither GET / nor the OpenAPI document lists them.
func debugRoutes() []route {
	return []route{
		{http.MethodGet, "/debug/pprof", "the profiles", (*exchange).getProfiles, started, RoleAdmin, nil, nil},
		{http.MethodGet, "/debug/pprof/{profile}", "one profile", (*exchange).getProfile, started, RoleAdmin, []string{"debug", "gc", "seconds"}, nil},
	}
}

func (x *exchange) getProfiles() error {
	var names []string
	for _, p := range runtimepprof.Profiles() {
		names = append(names, p.Name())
	}
	return x.json(http.StatusOK, map[string][]string{"profiles": append(names, "profile", "trace")})
}

// getProfile serves one profile: a name of getProfiles, "profile" for the CPU's,
// "trace" for the execution's, both over the parameter seconds.
func (x *exchange) getProfile() error {
	switch name := x.variable("profile"); {
	case name == "profile":
		pprof.Profile(x.w, x.r)
	case name == "trace":
		pprof.Trace(x.w, x.r)
	case runtimepprof.Lookup(name) != nil:
		pprof.Handler(name).ServeHTTP(x.w, x.r)
	default:
		return Errorf(NotFound, "there is no profile %s: GET /debug/pprof lists them", shown(name))
	}
	return nil
}
