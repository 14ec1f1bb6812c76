# The front door. `make help` lists the verbs; .ci/run calls check and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
.DEFAULT_GOAL := help
# A cluster for `make test-cluster`: a command with `up`, `build-image -t TAG [-f FILE] CONTEXT` and `exec -- COMMAND`, which sets KUBECONFIG.
CLUSTER ?= ../shared/cluster/cluster
FUNCTION_IMAGE ?= dev.local/headrace-function-{framework}:test
# Address of this machine that the cluster's pods reach; the tests' object storage serves there.
CLUSTER_S3_HOST ?= 10.250.0.1
.PHONY: help setup demo test test-cluster check bench lock clean

help: ## Show these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --requirements requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@touch $@

setup: $(VENV)/.ready ## Make .venv with the headrace command

demo: setup ## Run the whole story on real data, embedded
	@$(BIN)/python -m headrace_controller.demo

test: setup ## Run every test that this machine can run
	@$(BIN)/python -m pytest

test-cluster: setup ## Run the tests that need a Kubernetes with Knative and KServe
	@$(CLUSTER) up
	@mkdir -p .cache
	@for framework in python sklearn; do \
		awk -v last="AS $$framework" '/^FROM/ && done { exit } $$0 ~ last "$$" { done = 1 } { print }' functions/Dockerfile > .cache/Dockerfile.$$framework; \
		$(CLUSTER) build-image -t "$$(echo '$(FUNCTION_IMAGE)' | sed "s/{framework}/$$framework/")" -f .cache/Dockerfile.$$framework functions || exit 1; \
	done
	@$(CLUSTER) exec -- env HEADRACE_FUNCTION_IMAGE='$(FUNCTION_IMAGE)' HEADRACE_TEST_S3_HOST=$(CLUSTER_S3_HOST) $(BIN)/python -m pytest tests/cluster

check: setup ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## Measure beside peers, in environments of their own
	@$(BIN)/python -m pytest tests/benchmarks --override-ini=testpaths=tests/benchmarks -s

lock: ## Resolve the locks anew from pyproject.toml
	@$(LOCK) pyproject.toml --output-file requirements/platform.txt
	@$(LOCK) pyproject.toml --extra cluster --output-file requirements/cluster.txt
	@$(LOCK) pyproject.toml --extra cluster --group dev --output-file requirements/dev.txt
	@$(LOCK) requirements/jobs.in --output-file requirements/jobs.txt
	@$(LOCK) requirements/jobs-alibi.in --output-file requirements/jobs-alibi.txt

clean: ## Remove what the verbs above made here
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
