# Everything that a person or CI runs. Go and make are all it needs; what it builds goes to bin/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION    ?= v0.1.0
KUBERNETES := v1.37.2
STAMP      := k8s.io/component-base/version
LDFLAGS    := -s -w \
	-X github.com/phalanx-scheduler/phalanx/pkg/scheduler.version=$(VERSION) \
	-X $(STAMP).gitVersion=$(KUBERNETES) -X $(STAMP).gitMajor=1 -X $(STAMP).gitMinor=37 -X $(STAMP).gitTreeState=clean

export CGO_ENABLED := 0

.PHONY: help
help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the scheduler into bin/
	go build -trimpath=false -ldflags '$(LDFLAGS)' -o bin/phalanx-scheduler ./cmd/phalanx-scheduler
