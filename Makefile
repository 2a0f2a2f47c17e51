# Every target runs on a fresh machine with Go, gcc, git, bash, curl, jq,
# openssl and python3 with cryptography; alerts needs Prometheus; powercut needs root, FUSE and loop devices, and
# tests those of ext4, xfs and btrfs that have their mkfs; dist and dist-test need
# Debian, and dist-test root.
GO ?= go

# Packages are compiled without the paths of this checkout, so that tests, pages
# and other checkouts share what is in Go's cache. build -v names each package that
# it compiles, which takes minutes at first.
export GOFLAGS := $(shell $(GO) env GOFLAGS) -trimpath

# TEST is go test that prints a line for each package as it ends, each failure
# whole, and a count. Four packages run at a time, since many tests wait. The time
# limit, of a package, ends what hangs: the longest takes a minute on an idle machine.
# With RERUNS=1, as in CI, a few tests that fail run once more, alone, and the
# output names them: a machine that stands still for a while fails what waits. Whoever
# fails twice has failed, and a data race is never tried again.
RERUNS ?= 0
TEST = $(GO) tool -modfile=internal/tools/go.mod gotestsum --format-hide-empty-pkg --hide-summary skipped \
	$(if $(filter-out 0,$(RERUNS)),--rerun-fails=$(RERUNS) --rerun-fails-max-failures=5 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race)
GOTEST = -p 4 -timeout 15m

.PHONY: build check vet race test damage pages abuse kill powercut break stream demo bench fleet performance fuzz alerts opa vuln contract dist dist-test

build: ## the program, in bin/swoosh
	$(GO) build -v -o bin/swoosh ./cmd/swoosh

check: build vet race test ## what a change must pass

vet:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'd:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) mod verify

race: ## every test under the race detector but those of repairs, which run alone; those of very many cases make some
	$(GO) build -race -v ./...
	$(TEST) --packages "$$($(GO) list ./... | grep -v /repair$$ | xargs)" -- -race $(GOTEST)

test: ## every test whole, pages and demo among them
	$(TEST) --packages ./... -- -count=1 $(GOTEST)

damage: ## every kind of damage to each file of a directory, a thousand cases
	SWOOSH_DAMAGE_EVERY=2 $(GO) test -count=1 -timeout 60m -parallel 8 -run 'TestDamage$$' -v ./repair

pages: ## of test, every command of every page, read out of the pages
	$(GO) test -count=1 -timeout 10m -run TestPages -v ./program

ABUSE_ROUNDS ?= 40
abuse: ## what machines and people do to a server: limits, full disks, deleted files; root mounts small disks
	SWOOSH_ABUSE_ROUNDS=$(ABUSE_ROUNDS) $(GO) test -count=1 -timeout 10m -run TestAbuse -v ./program

# kill, powercut, stream, bench, fleet and performance want a machine that does nothing else.

ROUNDS ?= 200
kill: ## kill -9 at random moments, ROUNDS times: a server, the hub of a fleet, a node
	SWOOSH_KILL_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 40m -run KillNine -v ./program

CUTS ?= 20
powercut: ## cut the power under the program, CUTS times on each file system; wants root
	cd internal/powercut && SWOOSH_POWERCUT_CUTS=$(CUTS) $(GO) test -count=1 -timeout 40m -v .

break: ## damage, repairs and undos at random, ROUNDS times
	SWOOSH_BREAK_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 60m -run TestBreak -v ./repair

STREAM_MB ?= 1000
stream: ## a stream of STREAM_MB megabytes, watching the server's memory
	SWOOSH_STREAM_MB=$(STREAM_MB) $(GO) test -count=1 -timeout 20m -run TestStreamMemoryIsBounded -v ./program

BENCH ?= .
BASE ?=
bench: ## the Go benchmarks that BENCH matches; with BASE=<rev> beside that revision's, by turns
ifeq ($(BASE),)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime 2s . ./internal/canon
else
	scripts/bench.sh '$(BASE)' '$(BENCH)'
endif

NODES ?= 100000
fleet: ## what commands cost in a fleet of NODES, beside one of 100: medians of five pairs
	SWOOSH_FLEET_NODES=$(NODES) $(GO) test -run '^$$' -bench Fleet -benchtime 5x ./fleet

performance: ## all figures of docs/PERFORMANCE.md, measured anew; with etcd if scripts/etcd.sh built it
	scripts/performance.sh

demo: build ## the ten-minute tour
	SWOOSH=bin/swoosh examples/demo.sh

FUZZTIME ?= 30s
fuzz: ## every decoder, FUZZTIME each
	scripts/fuzz.sh $(FUZZTIME)

alerts: build ## the alert rules and the dashboard, in a real Prometheus
	scripts/alerts_test.sh

opa: bin/opa ## rules that ask a real Open Policy Agent, which is built at first
	$(TEST) --packages ./guard -- -count=1 -run OPA $(GOTEST)

bin/opa:
	scripts/opa.sh

VULNDB ?= https://vuln.go.dev
vuln: ## known vulnerabilities that the code reaches, from the database VULNDB; left out where that cannot be reached
	@curl -sfLo /dev/null --max-time 30 '$(VULNDB)/index/db.json' || { echo "vuln is left out: $(VULNDB) cannot be reached"; exit; }; \
	$(GO) tool -modfile=internal/tools/go.mod govulncheck -db '$(VULNDB)' ./...

contract: ## clients that oapi-codegen and ogen make of /openapi.json call a server
	cd internal/contract && $(GO) test -count=1 -timeout 10m -v .

dist: ## what is released, in dist/: static programs, deb packages, bills of materials, SHA256SUMS
	scripts/dist.sh

dist-test: ## build it, install it on a new Debian, run it under systemd and in a container
	scripts/dist_test.sh
