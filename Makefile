# Everything a developer types. `make demo` and `make test` set up what they need, and can be run again and again.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TYPES := $(wildcard sidecar/*/*.pxd sidecar/*/*/*.pxd)
BUILT := build/.built
SANITIZED := build/sanitized
DEMO_APP := examples/orders/app
DEMO_INSTALLED := $(DEMO_APP)/node_modules/.installed

PYTEST := $(BIN)/python -m pytest -q
INTEROP_IN_PLAIN_PYTHON := $(addprefix tests/interop/test_,behaviour.py conversations.py losses.py sharing.py json.py)

# Runs two commands beside each other; shows the second's output once the first has ended, and fails if either does.
define together
mkdir -p build
{ $(2); } > build/beside.out 2>&1 & beside=$$!
first=0; { $(1); } || first=$$?
second=0; wait $$beside || second=$$?
cat build/beside.out
if [ $$((first || second)) != 0 ]; then exit 1; fi
endef

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo docs example crds test few-tests all-tests e2e acceptance core fuzz sanitize simulate bench bench-control bench-quick bench-control-quick lint format lock clean

help:  ## Say what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): requirements.txt pyproject.toml setup.py
	@if [ -z "$(PYTHON)" ]; then echo "This needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; fi
	echo "Setting up $(VENV) with $$($(PYTHON) --version) (once) ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	BUILD_EXTENSION=no $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Plain Python runs without this, and `make demo` does not wait for it.
$(BUILT): $(INSTALLED) $(TYPES) $(wildcard $(TYPES:.pxd=.py) $(TYPES:.pxd=.pyx))
	@echo "Compiling the core (where there is a C compiler; a minute at first, then only what has changed) ..."
	mkdir -p build
	$(BIN)/python setup.py --quiet build_ext --inplace > build/compile.log 2>&1 || { tail -n 30 build/compile.log; exit 1; }
	grep "left out" build/compile.log || true
	touch $@

$(DEMO_INSTALLED): $(DEMO_APP)/package-lock.json $(DEMO_APP)/tsconfig.json $(shell find $(DEMO_APP)/src -name '*.ts')
	@echo "Installing and building the NestJS apps of $(DEMO_APP) (once) ..."
	cd $(DEMO_APP) && npm ci --silent --no-audit --no-fund && npm run --silent build
	touch node_modules/.installed

example: $(DEMO_INSTALLED)  ## Install and build the NestJS apps of examples/orders

demo: $(INSTALLED)  ## A shop of NestJS apps, each replica with a sidecar; one is killed: no cluster needed
	@if command -v npm >/dev/null && node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null; then
	  $(MAKE) --silent --no-print-directory $(DEMO_INSTALLED)
	  $(BIN)/python examples/demo.py
	else
	  echo "Node.js 20 or newer with npm is not here (https://nodejs.org), so these are the demo's apps in Python."
	  $(BIN)/python examples/demo.py --python
	fi

test: $(BUILT)  ## Lint, types, layers and the tests of ten minutes; ALL=1 runs all, in 35 minutes, as CI does
	@$(BIN)/python tests/prepare.py $(if $(ALL),,few)
	$(if $(ALL),$(MAKE) --no-print-directory all-tests,$(MAKE) --no-print-directory few-tests)

few-tests: $(BUILT)
	@echo "Core, transport, simulation, and beside them: sockets, real NestJS 12, a real collector, local mode, README ..."
	$(call together,$(MAKE) --no-print-directory lint core && $(PYTEST) tests/transport tests/traces tests/simulation \
	  tests/fuzz tests/control,$(PYTEST) tests/shell tests/telemetry tests/local tests/readme tests/cli && \
	  $(PYTEST) tests/interop -k "not 10 and not 11" --ignore tests/interop/test_losses.py)
	echo "Left out: a real API server, pods in a network of their own, faults and lost replicas, NestJS 10 and 11 (make test ALL=1)."

# What counts on time to pass has the machine for itself; the rest runs two by two.
all-tests: $(BUILT)
	@echo "Core (100 % of its branches by its own tests), and beside it NestJS through sidecars in plain Python ..."
	$(call together,$(MAKE) --no-print-directory lint core,TCPSERVICE_IMPL=python $(PYTEST) $(INTEROP_IN_PLAIN_PYTHON))
	echo "A real API server, and beside it real NestJS, the Python transport, simulation ..."
	$(call together,$(PYTEST) tests/cluster,$(PYTEST) tests/interop tests/transport tests/simulation tests/traces \
	  tests/control tests/fuzz)
	echo "Sockets and faults, and beside them local mode, a real collector, README ..."
	$(call together,$(PYTEST) tests/shell tests/faults,$(PYTEST) tests/local tests/readme tests/telemetry tests/cli)
	echo "Pods in a network of their own ..."
	tests/pods/enter $(PYTEST) tests/pods

e2e: $(BUILT)  ## A real cluster (KUBECONFIG): the chart, rollouts under load, traces; E2E_IMAGE builds and loads images
	@$(PYTEST) tests/e2e

core: $(BUILT)
	@$(BIN)/coverage erase
	TCPSERVICE_IMPL=python $(BIN)/coverage run -m pytest -q tests/core --ignore tests/core/wire/test_twins.py
	$(BIN)/coverage report --fail-under=100
	echo "Core, compiled ..."
	$(PYTEST) tests/core -m "not replaces_functions"

fuzz: $(BUILT)  ## Hostile bytes for the scan, the wire, the mesh, the core and a process (SECONDS_EACH=600, INPUTS=200000)
	@cd tests && ../$(BIN)/python -m core.wire.twins --seconds $(or $(SECONDS_EACH),600)
	for part in wire mesh core; do ../$(BIN)/python -m fuzz.$$part --seconds $(or $(SECONDS_EACH),600); done
	../$(BIN)/python -m fuzz.process --inputs $(or $(INPUTS),200000)

sanitize: $(INSTALLED)  ## The compiled form with AddressSanitizer and UBSan, under the fuzz of the wire and the simulator (MINUTES=5 each)
	@rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)
	git ls-files -z --cached --others --exclude-standard sidecar tests/core tests/simulation tests/fuzz tests/__init__.py \
	  setup.py pyproject.toml README.md LICENSE | tar --null -T - -cf - | tar -xf - -C $(SANITIZED)
	echo "Compiling with -fsanitize=address,undefined ..."
	cd $(SANITIZED)
	python=$(CURDIR)/$(BIN)/python
	CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined" BUILD_EXTENSION=yes \
	  $$python setup.py --quiet build_ext --inplace > compile.log 2>&1 || { tail -n 30 compile.log; exit 1; }
	export LD_PRELOAD=$$(gcc -print-file-name=libasan.so):$$(gcc -print-file-name=libubsan.so) PYTHONMALLOC=malloc
	export ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$$PWD/sidecar TCPSERVICE_IMPL=compiled
	cd tests
	$$python -m core.wire.twins --seconds $$((60 * $(or $(MINUTES),5)))
	$$python -m simulation --minutes $(or $(MINUTES),5) --seed $(or $(SEED),0)

acceptance: $(BUILT)  ## The data plane under memory limits, floods, slow readers and chaos, with real NestJS (40 minutes)
	@$(BIN)/python tests/prepare.py
	$(PYTEST) tests/acceptance

simulate: $(BUILT)  ## Simulate fleets under faults for MINUTES=10 from SEED=0 on (docs/simulation.md)
	@cd tests && ../$(BIN)/python -m simulation --minutes $(or $(MINUTES),10) --seed $(or $(SEED),0)

bench: $(BUILT)  ## What the sidecar costs beside HAProxy, Envoy and no proxy (fifteen minutes; writes benchmarks/README.md)
	@$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/pairs.py

bench-control: $(BUILT)  ## What the operator costs, and how fast it is, with thousands of pods (20 minutes; writes the same)
	@$(BIN)/python benchmarks/control.py
	$(BIN)/python benchmarks/scale.py

bench-quick: $(BUILT)  ## `make bench` in one short round (two minutes; writes nothing)
	@$(BIN)/python benchmarks/bench.py --quick
	$(BIN)/python benchmarks/pairs.py --quick

bench-control-quick: $(BUILT)  ## `make bench-control` in one short round (four minutes; writes nothing)
	@$(BIN)/python benchmarks/control.py --quick
	$(BIN)/python benchmarks/scale.py --quick

lint: $(BUILT)  ## Lint, formatting, types, and the direction of imports
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## Format all Python
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

crds: $(INSTALLED)  ## Write crds/, the chart's files, and the reference pages of docs/ from the code
	@$(BIN)/python -m tcpservice_operator.api.crd > crds/tcpservices.yaml
	cp crds/tcpservices.yaml charts/tcpservice/files/
	$(BIN)/python -m tcpservice_operator.api.rbac > charts/tcpservice/files/rules.yaml
	$(BIN)/python -m tcpservice_operator.conditions.condition_types > docs/conditions.md
	$(BIN)/python -m tcpservice_operator.api.json_schema > docs/tcpservice.schema.json
	$(BIN)/python -m tcpservice_operator.api.fields > docs/fields.md
	$(BIN)/python docs/reference.py

docs: $(INSTALLED)  ## Build the documentation as a site into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	echo "Built build/site/index.html."

lock: ## Pin the newest versions that pyproject.toml allows in requirements.txt
	@$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet --upgrade setuptools wheel ".[sidecar,local,operator,dev]"
	build/lock/bin/pip freeze --all --exclude pip --exclude tcpservice > requirements.txt

clean:  ## Remove what was installed and built
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name node_modules -type d -prune -exec rm -rf {} +
