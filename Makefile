# What a user and CI run. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
NEEDS := pyproject.toml constraints.txt
# Many tests wait for servers: two at once, a file's own tests in one process.
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "mfgviz needs Python 3.11 or newer; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(NEEDS) | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[worker,local]'
	@touch $@

$(VENV)/.installed-dev: $(NEEDS) | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[worker,local,dev]'
	@touch $@ $(VENV)/.installed

.PHONY: demo
demo: $(VENV)/.installed ## Set everything up and render a sample part, start to end
	@$(BIN)/mfgviz demo

.PHONY: test
test: $(VENV)/.installed-dev apt-test-deps ## Set everything up and run all tests
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope $(TESTS)

.PHONY: test-freecad
test-freecad: $(VENV)/.installed-dev apt-test-deps ## Run the tests of the FreeCAD add-on alone, in FreeCAD
	$(BIN)/python -m pytest tests/hosts/freecad tests/unit/freecad $(TESTS)

# FreeCAD reads .FCStd files, and runs the add-on in a window under Xvfb. Where it may not be installed its
# tests are reported as skipped.
TEST_PACKAGES := freecad xvfb xauth
.PHONY: apt-test-deps
apt-test-deps:
	@command -v freecad >/dev/null && command -v xvfb-run >/dev/null && command -v xauth >/dev/null && exit 0; \
	command -v apt-get >/dev/null \
	  || { echo "FreeCAD's tests are skipped. To run them, install FreeCAD, Xvfb (xvfb-run) and xauth."; exit 0; }; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; \
	else echo "FreeCAD's tests are skipped. To run them: apt-get install $(TEST_PACKAGES)"; exit 0; fi; \
	echo "Installing $(TEST_PACKAGES) for the tests …"; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends $(TEST_PACKAGES) >/dev/null

.PHONY: freecad-addon
freecad-addon: | $(BIN)/python ## Build dist/mfgviz-freecad-VERSION.zip for FreeCAD's Addon Manager
	$(BIN)/python -m plugins.build_freecad

.PHONY: lint
lint: $(VENV)/.installed-dev ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: $(VENV)/.installed-dev ## Print the benchmarks' figures, and write them to var/bench.json (SCALE=1: of 10 million renders)
	@mkdir -p var
	$(BIN)/python -m benchmarks --json var/bench.json

# It can be stopped, and goes on where it was: its state and reports are in var/chaos.
MINUTES ?= 30
CHAOS := $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(if $(SECONDS),--seconds $(SECONDS))
.PHONY: chaos
chaos: $(VENV)/.installed-dev ## Break everything at random for MINUTES, and check that nothing is lost
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(CHAOS)

.PHONY: fuzz
fuzz: $(VENV)/.installed-dev ## Read 5,000 hostile CAD files; go on where it stopped, keep what breaks in var/fuzz
	$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: docs
docs: $(VENV)/.installed-dev ## Write the reference pages that the code knows best
	$(BIN)/python docs/build.py

.PHONY: pictures
pictures: $(VENV)/.installed-dev ## Make the pictures of the docs, through the product itself
	$(BIN)/python -m docs.pictures

.PHONY: sbom
sbom: $(VENV)/.installed-dev ## Write dist/mfgviz-VERSION.cdx.json: what mfgviz is made of (CycloneDX)
	$(BIN)/python -m supply.sbom

.PHONY: audit
audit: $(VENV)/.installed-dev ## Is what is installed what was pinned, and is anything known against it?
	$(BIN)/python -m supply.audit $(AUDIT)

.PHONY: samples
samples: $(VENV)/.installed-dev ## Make the sample parts again, by their script
	$(BIN)/python -m workers.studio.training.samples

.PHONY: clean
clean: ## Remove the environment and what was made
	rm -rf $(VENV) var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
