# The front door. `make help` lists the verbs; .ci/run calls check and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
.DEFAULT_GOAL := help
# A cluster for `make test-cluster`: a command with `up`, `build-image -t TAG [-f FILE] CONTEXT` and `exec -- COMMAND`, which sets KUBECONFIG.
CLUSTER ?= ../shared/cluster/cluster
# From whatever folder a recipe's child calls make again (skaffold does, in a copy of the sources), it is the same program.
override CLUSTER := $(if $(findstring /,$(CLUSTER)),$(abspath $(CLUSTER)),$(CLUSTER))
TAG ?= test
FUNCTION_IMAGE ?= dev.local/headrace-function-{framework}:$(TAG)
CONTROLLER_IMAGE ?= dev.local/headrace-controller:$(TAG)
JOBS_IMAGE ?= dev.local/headrace-jobs:$(TAG)
MODEL_SERVER_IMAGE ?= dev.local/headrace-test-model-server:$(TAG)
# A second tag of the same images, which the tests upgrade to; empty, and these tests are skipped by name, where images are named otherwise.
NEXT_TAG ?= $(if $(filter file,$(origin FUNCTION_IMAGE)),next)
function-image = $(subst {framework},$(1),$(FUNCTION_IMAGE))
# Frameworks whose images the platform of the tests has; tensorflow may be added where there are 8 GB of disk for it.
CLUSTER_FRAMEWORKS ?= lightgbm onnx xgboost
# Image of KServe's agent that the nodes have, for the test of its logger; without one it is skipped by name.
KSERVE_AGENT ?=
# Command that restarts the cluster's API server, empty for none.
RESTART_API ?= $(PYTHON) tests/cluster/restart_api.py $(CLUSTER)
# Address of this machine that the cluster's pods reach; the tests' object storage serves there.
CLUSTER_S3_HOST ?= 10.250.0.1
# Processes that share the tests; many of them wait for platforms, so one more than a small machine has cores pays.
TEST_PROCESSES ?= 3
.PHONY: help setup demo test test-cluster test-cluster-core test-clients test-monitoring test-streams test-frameworks test-pipelines test-registries cluster-images image-controller image-jobs check sbom audit fuzz chaos soak test-api bench screenshots lock clean

help: ## Show these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Headrace needs Python 3.11 or newer, and '$(PYTHON)' is none; name another: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	@echo "setting up $(VENV): about half a minute the first time"
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --requirements requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@touch $@

setup: $(VENV)/.ready ## Make .venv with the headrace command

demo: setup ## Run the whole story on real data, embedded
	@$(BIN)/python -m headrace_controller.demo

test: setup ## Run every test that this machine can run
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-cluster: setup ## Run the tests that need a Kubernetes with Knative and KServe
	@$(CLUSTER) up --ray
	@$(MAKE) --no-print-directory cluster-images
	@$(if $(NEXT_TAG),$(MAKE) --no-print-directory cluster-images TAG=$(NEXT_TAG))
	@$(install-login-provider)
	@$(run-cluster-tests)

test-cluster-core: setup ## Run the core of them: the story, faults, permissions
	@$(CLUSTER) up --ray
	@$(MAKE) --no-print-directory cluster-images
	@$(run-cluster-tests)

test-cluster-core: CLUSTER_TESTS := $(addprefix tests/cluster/test_,$(addsuffix .py,story gateway platform permissions faults))
test-cluster-core: NEXT_TAG :=
CLUSTER_TESTS ?= tests/cluster
run-cluster-tests = $(CLUSTER) exec -- env HEADRACE_FUNCTION_IMAGE='$(FUNCTION_IMAGE)' HEADRACE_CONTROLLER_IMAGE='$(CONTROLLER_IMAGE)' \
	HEADRACE_BUILDER_IMAGE='$(call function-image,builder)' HEADRACE_JOBS_IMAGE='$(JOBS_IMAGE)' HEADRACE_TEST_RESTART_API='$(RESTART_API)' \
	HEADRACE_TEST_MODEL_SERVER='$(MODEL_SERVER_IMAGE)' HEADRACE_TEST_NEXT_TAG=$(NEXT_TAG) HEADRACE_TEST_S3_HOST=$(CLUSTER_S3_HOST) HEADRACE_TEST_FRAMEWORKS='$(CLUSTER_FRAMEWORKS)' \
	HEADRACE_TEST_KSERVE_AGENT=$(KSERVE_AGENT) $(BIN)/python -m pytest $(CLUSTER_TESTS)

# What builds an image: CLUSTER build-image, or another command with the same options.
cluster-images: $(foreach target,python sklearn $(CLUSTER_FRAMEWORKS) builder,image-function-$(target)) image-controller image-jobs image-model-server

image-function-%: # a target of functions/Dockerfile, for a builder that knows no targets
	@mkdir -p .cache
	@awk -v last="AS $*" '/^FROM/ && done { exit } $$0 ~ last "$$" { done = 1 } { print }' functions/Dockerfile > .cache/Dockerfile.$*
	@$(CLUSTER) build-image -t $(call function-image,$*) -f .cache/Dockerfile.$* functions

image-controller:
	@$(CLUSTER) build-image -t $(CONTROLLER_IMAGE) -f controller/Dockerfile .

image-model-server: # what the tests run as a container that they did not make
	@$(CLUSTER) build-image -t $(MODEL_SERVER_IMAGE) -f tests/cluster/model_server/Dockerfile tests/cluster/model_server

image-jobs:
	@$(CLUSTER) build-image -t $(JOBS_IMAGE) -f ray_jobs/Dockerfile .

test-frameworks: setup ## Train a model of each framework and take it the whole way
	@$(BIN)/python -m pytest tests/frameworks

test-clients: setup ## Ask a platform by the default HTTP clients of Go, Node, Java, Rust and curl
	@$(BIN)/python -m pytest tests/clients

# A Kafka broker for tests: a command with `up PORT` and `down PORT`; without one the tests of streams are skipped by name.
KAFKA ?= ../shared/kafka/kafka
export HEADRACE_KAFKA := $(if $(wildcard $(KAFKA)),$(abspath $(KAFKA)))

test-streams: setup ## Run a million messages through a Kafka stream while its parts are killed
	@$(BIN)/python -m pytest tests/streams -s

ALERTMANAGER := .cache/alertmanager/alertmanager
test-monitoring: setup $(ALERTMANAGER) ## Run the tests that need a real AlertManager, built with Go
	@$(BIN)/python -m pytest tests/monitoring

$(ALERTMANAGER):
	@echo "building AlertManager: about two minutes"
	@mkdir -p $(@D) && cd $(@D) && GOBIN=$(abspath $(@D)) GOFLAGS=-mod=mod go install github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1

LOGIN_PROVIDER := .cache/login-provider
install-login-provider = mkdir -p $(LOGIN_PROVIDER) && cp tests/oidc/package.json $(LOGIN_PROVIDER)/ && cd $(LOGIN_PROVIDER) && npm install --silent --no-audit --no-fund --no-package-lock
test-oidc: setup ## Run the tests that need a login provider, installed with npm
	@$(install-login-provider)
	@$(BIN)/python -m pytest tests/oidc

ACTIONLINT := .cache/actionlint/actionlint
test-pipelines: setup $(ACTIONLINT) ## Run the pipelines of headrace ci init by Airflow, Kubeflow's SDK and actionlint
	@$(BIN)/python -m pytest tests/pipelines

$(ACTIONLINT):
	@mkdir -p $(@D) && cd $(@D) && GOBIN=$(abspath $(@D)) GOFLAGS=-mod=mod go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

REGISTRIES := .cache/registries
test-registries: setup $(REGISTRIES)/registry $(REGISTRIES)/fake-gcs-server ## Fetch payloads from an OCI registry and a bucket of Google's kind; check signatures of models
	@$(BIN)/python -m pytest tests/registries

$(REGISTRIES)/registry:
	@mkdir -p $(@D) && cd $(@D) && GOBIN=$(abspath $(@D)) GOFLAGS=-mod=mod go install github.com/distribution/distribution/v3/cmd/registry@v3.0.0

$(REGISTRIES)/fake-gcs-server:
	@mkdir -p $(@D) && cd $(@D) && GOBIN=$(abspath $(@D)) GOFLAGS=-mod=mod go install github.com/fsouza/fake-gcs-server@v1.52.2

check: setup ## Format, lint, types, import contracts, licences of the locks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/licences.py $(wildcard .cache/environments/jobs/lib/python3*/site-packages)

TOOLS := .cache/tools
$(TOOLS)/.ready: requirements/tools.txt | setup
	@$(UV) venv --quiet --clear --python $(BIN)/python $(TOOLS)
	@VIRTUAL_ENV=$(TOOLS) $(UV) pip install --quiet --require-hashes --requirement requirements/tools.txt
	@touch $@

sbom: setup $(TOOLS)/.ready ## Write bills of materials (CycloneDX) of the wheel and the locks into sbom/
	@$(BIN)/python .ci/sbom.py $(TOOLS) sbom

# More options of pip-audit, e.g. AUDIT='--osv-url https://mirror/v1/query'.
AUDIT ?=
audit: setup $(TOOLS)/.ready ## Hold the locks against known vulnerabilities, where their database is reached
	@$(BIN)/python .ci/audit.py $(TOOLS) $(AUDIT)

ROUNDS ?= 100
MINUTES ?= 60
chaos: setup ## Kill parts of a platform under load, ROUNDS times, and count what is lost
	@HEADRACE_CHAOS_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/chaos/test_rounds.py -q -s

soak: setup ## Look whether the memory of a platform under light load is flat over MINUTES
	@HEADRACE_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/chaos/test_memory.py -q -s

test-api: setup $(TOOLS)/.ready ## Ask every operation of the API with every role, by made-up requests
	@$(BIN)/python -m pytest tests/api -q -s

EXAMPLES ?= 1000000
fuzz: setup ## Try EXAMPLES changed inputs on everything that reads bytes from outside
	@HEADRACE_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/fuzz -q

screenshots: setup ## Draw every page anew, and the pictures of the docs, after ten minutes of traffic
	@$(BIN)/python tests/browser/screenshots.py

bench: setup ## Measure beside peers, in environments of their own
	@$(BIN)/python -m pytest tests/benchmarks --override-ini=testpaths=tests/benchmarks -s

lock: ## Resolve the locks anew from pyproject.toml
	@$(LOCK) pyproject.toml --output-file requirements/platform.txt
	@$(LOCK) pyproject.toml --extra cluster --extra grpc --extra kafka --extra oidc --extra tracing --output-file requirements/cluster.txt
	@$(LOCK) pyproject.toml --extra cluster --extra grpc --extra kafka --extra oidc --extra tracing --group dev --output-file requirements/dev.txt
	@$(LOCK) requirements/jobs.in --output-file requirements/jobs.txt
	@$(LOCK) requirements/jobs-cluster.in --constraint requirements/jobs.txt --output-file requirements/jobs-cluster.txt
	@$(LOCK) requirements/jobs-alibi.in --output-file requirements/jobs-alibi.txt
	@for lock in functions/requirements/*.in; do $(LOCK) $$lock --output-file $${lock%.in}.txt || exit 1; done
	@$(LOCK) requirements/tools.in --output-file requirements/tools.txt
	@$(BIN)/python -m headrace_controller.environments.listing functions/requirements > knative/base/runtime-images.json

clean: ## Remove what the verbs above made here
	rm -rf $(VENV) .cache sbom .mypy_cache .ruff_cache .pytest_cache .hypothesis
