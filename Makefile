# Every target runs on a fresh machine with Go, gcc, git, bash, curl, jq and
# python3; alerts needs Prometheus; dist and dist-test need Debian, and dist-test
# root.
GO ?= go

.PHONY: build check vet test race damage pages kill break stream demo bench fuzz alerts dist dist-test

build: ## the program, in bin/swoosh
	$(GO) build -trimpath -o bin/swoosh ./cmd/swoosh

check: vet race damage pages demo ## what a change must pass

vet:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'd:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) mod verify

test:
	$(GO) test ./...

race:
	$(GO) test -race -timeout 20m ./...

damage: ## every kind of damage to the log's files, which race makes some of
	$(GO) test -run TestDamageInBadgersFiles .

pages: ## every command of every page, read out of the pages
	$(GO) test -count=1 -timeout 10m -run TestPages -v ./program

ROUNDS ?= 200
kill: ## kill -9 at random moments, ROUNDS times
	SWOOSH_KILL_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 40m -run TestD1KillNine -v ./program

break: ## damage, repairs and undos at random, ROUNDS times
	SWOOSH_BREAK_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 60m -run TestBreak -v ./repair

STREAM_MB ?= 1000
stream: ## a stream of STREAM_MB megabytes, watching the server's memory
	SWOOSH_STREAM_MB=$(STREAM_MB) $(GO) test -count=1 -timeout 20m -run TestStreamMemoryIsBounded -v ./program

demo: build ## the ten-minute tour
	SWOOSH=bin/swoosh examples/demo.sh

bench: ## durable commands a second, beside what disk, Badger and HTTP do alone
	$(GO) test -run '^$$' -bench . -benchtime 2s . ./internal/canon

FUZZTIME ?= 30s
fuzz: ## every decoder, FUZZTIME each
	scripts/fuzz.sh $(FUZZTIME)

alerts: build ## the alert rules and the dashboard, in a real Prometheus
	scripts/alerts_test.sh

dist: ## what is released, in dist/: static programs, deb packages, SHA256SUMS
	scripts/dist.sh

dist-test: ## build it, install it on a new Debian, run it under systemd and in a container
	scripts/dist_test.sh
