# Everything that a person or CI runs. Go and make are all it needs; what it builds goes to bin/, what is to be given away to dist/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION    ?= v0.1.0
BIN        ?= bin
KUBERNETES := v1.37.2
STAMP      := k8s.io/component-base/version
LDFLAGS    := -s -w \
	-X github.com/phalanx-scheduler/phalanx/pkg/scheduler.version=$(VERSION) \
	-X $(STAMP).gitVersion=$(KUBERNETES) -X $(STAMP).gitMajor=1 -X $(STAMP).gitMinor=37 -X $(STAMP).gitTreeState=clean

REPORTER_LDFLAGS := -s -w -X github.com/phalanx-scheduler/phalanx/pkg/reporter/command.version=$(VERSION)

# The reporter talks to the GPU driver through cgo. Without a C compiler it is built all the same, and says that it cannot. The
# driver's library is looked for at run time, function by function: hence lazy, which is not the default of every compiler.
HAS_CC := command -v "$$(go env CC | cut -d' ' -f1)" >/dev/null
export CGO_ENABLED := 0
export CGO_CFLAGS  := -O2 -g -Wno-deprecated-declarations
export CGO_LDFLAGS := -O2 -g -Wl,-z,lazy

# What is shipped depends on the source and the compiler alone, not on folder, time, user or the state of git.
DIST     ?= dist
ARCH     ?= $(shell go env GOARCH)
SHIP     := go build -trimpath -buildvcs=false
BASE     ?= auto
BASES    ?= bin/bases
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
MODIFIED ?= $(shell test -z "$$(git status --porcelain 2>/dev/null)" && echo false || echo true)
REGISTRY ?=
BUILDER  ?=
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PACK = bin/release -dist $(DIST) -base $(BASE) -bases $(BASES) -version $(VERSION) -revision $(REVISION) -modified=$(MODIFIED) -epoch $(SOURCE_DATE_EPOCH) \
	-go $$(go env GOVERSION) -registry '$(REGISTRY)' $(if $(BUILDER),-builder '$(BUILDER)')

# The scanners have a module of their own.
TOOL := go tool -modfile=hack/tools/go.mod

.PHONY: help
help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: reporter ## Build the scheduler and the reporter into bin/
	go build -ldflags '$(LDFLAGS)' -o $(BIN)/phalanx-scheduler ./cmd/phalanx-scheduler

.PHONY: reporter
reporter: ## Build the reporter alone
	@if $(HAS_CC); then export CGO_ENABLED=1; else echo "Building the reporter without cgo: there is no C compiler"; fi; \
		go build -ldflags '$(REPORTER_LDFLAGS)' -o $(BIN)/phalanx-reporter ./cmd/phalanx-reporter

.PHONY: ship-scheduler
ship-scheduler: # Its binary as it is released
	GOOS=linux GOARCH=$(ARCH) $(SHIP) -ldflags '$(LDFLAGS)' -o $(DIST)/phalanx-scheduler-linux-$(ARCH) ./cmd/phalanx-scheduler

.PHONY: ship-reporter
ship-reporter: # Its binary as it is released, for which another architecture takes a compiler for it in CC
	@if $(HAS_CC); then export CGO_ENABLED=1; else echo "Building the reporter without cgo: there is no C compiler"; fi; \
		GOOS=linux GOARCH=$(ARCH) $(SHIP) -ldflags '$(REPORTER_LDFLAGS)' -o $(DIST)/phalanx-reporter-linux-$(ARCH) ./cmd/phalanx-reporter

.PHONY: bases
bases: # What images stand on. On nothing, a reporter with cgo cannot run: then one without it is built
	@go build -C hack/release -o $(CURDIR)/bin/release .
	@$(PACK) bases
	@test -d $(BASES)/phalanx-reporter || ! $(HAS_CC) || GOOS=linux GOARCH=$(ARCH) $(SHIP) -ldflags '$(REPORTER_LDFLAGS)' \
		-o bin/static/phalanx-reporter-linux-$(ARCH) ./cmd/phalanx-reporter

.PHONY: image
image: ship-scheduler ship-reporter bases ## Build both images into dist/ without a daemon; BASE=pinned, empty, auto or a folder of OCI layouts
	@$(PACK) images

.PHONY: pack
pack: bases # Images of the programs in dist/, for all their architectures, and the papers of a release
	@$(PACK) images papers

.PHONY: release
release: BASE = pinned
release: ## Build what a release has into dist/: programs, images, SBOMs, manifests, provenance, checksums
	@$(HAS_CC) || { echo "A release takes a C compiler: without one the reporter cannot talk to GPUs"; exit 1; }
	rm -rf $(DIST)
	@$(MAKE) --no-print-directory ship-scheduler ship-reporter
	@$(MAKE) --no-print-directory pack BASE=$(BASE)

.PHONY: reproducible
reproducible: ## Build a release twice, in other folders and with nothing cached, and compare; takes as long as two builds
	hack/release/reproducible.sh

.PHONY: controlplane
controlplane: ## Build the control plane that tests and demo run on; the first time takes minutes
	go run ./test/controlplane/build

.PHONY: demo
demo: ## Watch gangs on a real control plane; DEMO_ARGS=--once ends by itself, --help tells more
	@echo "Building the scheduler and the demo; the first time takes minutes"
	@$(MAKE) --no-print-directory -s build
	@go build -o bin/phalanx-demo ./test/demo
	@bin/phalanx-demo $(DEMO_ARGS)

.PHONY: test
test: build controlplane ## Run all tests
	go test ./pkg/... ./cmd/... ./manifests/...
	@if $(HAS_CC); then CGO_ENABLED=1 go test ./pkg/reporter/... ./test/kubelet/besteffort; fi
	go test -p 1 -timeout 30m ./test/...
	cd test/foreign && go test ./...
	cd hack/release && go test ./...

.PHONY: chaos
chaos: build controlplane ## Play faults for an hour and a half: SEED=n begins with that round, ROUNDS=n plays so many
	@seed=$${SEED:-$$RANDOM}; echo "SEED=$$seed ROUNDS=$${ROUNDS:-30} make chaos"; \
		SEED=$$seed ROUNDS=$${ROUNDS:-30} go test ./test/chaos -v -count 1 -timeout 5h -long

.PHONY: test-compat
test-compat: build ## Run what tests the scheduler on API servers against older ones, too; builds each the first time: docs/compatibility.md
	for minor in 1.34 1.35 1.36; do \
		export PHALANX_TEST_KUBERNETES=$$minor; \
		go run ./test/controlplane/build && go test -p 1 -timeout 30m ./test/integration ./test/atomic || exit 1; \
	done

.PHONY: race
race: ## Run the tests of pkg with the race detector, which needs a C compiler
	CGO_ENABLED=1 go test -race ./pkg/...

.PHONY: bench
bench: ## Measure against upstream in its own benchmark, and against other policies: docs/benchmarks.md; takes the better part of an hour
	go run ./test/bench $(BENCH_ARGS)
	go test -run '^$$' -bench Plan -benchtime 20x ./pkg/plugins/gang
	go run ./test/quality/cmd -shifts 5

.PHONY: bench-quick
bench-quick: ## The same in a few minutes: smaller workloads, each once
	go run ./test/bench -quick $(BENCH_ARGS)

.PHONY: bench-reporter
bench-reporter: controlplane ## Measure for ten minutes what the GPU reporter costs; needs a C compiler, and no GPU
	go test ./test/reporter -run TestWhatTheReporterCosts -v -count 1 -timeout 30m -minutes 10

.PHONY: bench-load
bench-load: ## Measure start, memory and CPU with 5,000 nodes, 40,000 pods and 2,000 gangs that wait: about half an hour
	go run ./test/load $(LOAD_ARGS)

.PHONY: lint
lint: ## Look for mistakes that need no test to be seen, by the list in .golangci.yml; the first time takes minutes
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(TOOL) golangci-lint run ./...
	@if $(HAS_CC); then CGO_ENABLED=1 go vet ./pkg/reporter/... ./cmd/phalanx-reporter ./test/kubelet/besteffort; fi
	cd test/bench/harness && go vet ./...
	cd test/foreign && go vet ./...
	cd hack/release && go vet ./...
	@for script in $$(git ls-files '*.sh') .ci/run; do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck $$(git ls-files '*.sh') .ci/run; \
		else echo "Scripts were parsed, and not examined further: there is no shellcheck"; fi

.PHONY: gosec
gosec: ## Look for unsafe patterns in what ships
	@# G115 warns of each conversion to a narrower integer, whatever bounds it: counts of nodes and pods, and what the parsers of
	@# outside input have held to their range, which their tests are about.
	$(TOOL) gosec -quiet -exclude=G115 ./pkg/... ./cmd/...

.PHONY: govulncheck
govulncheck: ## Look for known vulnerabilities in what ships calls; asks vuln.go.dev
	$(TOOL) govulncheck ./pkg/... ./cmd/...

.PHONY: generate
generate: ## Write the pages of docs that are made from the code
	go run ./hack/reference

.PHONY: verify
verify: ## Check that what is derived from something else is up to date
	go run ./hack/reference -check
	go mod tidy -diff
	go mod verify
	cd hack/controlplane/kubernetes-1.37 && go mod tidy -diff
	cd hack/controlplane/kubernetes-1.36 && go mod tidy -diff
	cd hack/controlplane/kubernetes-1.35 && go mod tidy -diff
	cd hack/controlplane/kubernetes-1.34 && go mod tidy -diff
	cd test/bench/harness && go mod tidy -diff
	cd test/foreign && go mod tidy -diff
	cd hack/release && go mod tidy -diff
	cd hack/tools && go mod tidy -diff && go mod verify
