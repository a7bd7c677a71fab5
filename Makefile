# Everything a person or CI does with this repository. `make` alone lists it.
#
# Each target makes the virtual environment that it needs, from the locked requirements, and needs
# no root. Another Python than `python3`: PYTHON=python3.12 make test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

python_version := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

# An empty file for each thing that is installed, newer than what it was installed from.
venv_stamp := $(VENV)/.made-with-python-$(python_version)
runtime_stamp := $(VENV)/.runtime-installed
dev_stamp := $(VENV)/.dev-installed

pip_install := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
# --no-build-isolation builds with the setuptools of the lock; --no-index proves that it is there.
install_project := $(pip_install) --no-index --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test check bench bench-venue gauntlet fuzz boot-test node-modules lock format schemas install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(runtime_stamp) ## watch the six daemons trade a recorded market and take the profit
	$(BIN)/quantum demo

test: $(dev_stamp) ## run every test (PYTEST_ARGS="-k ladder" narrows it)
	$(BIN)/python -m pytest -n 4 --dist worksteal $(PYTEST_ARGS)

check: $(dev_stamp) ## what CI runs: format, lint, types, import rules, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

bench: $(dev_stamp) ## measure the streams on this machine
	$(BIN)/quantum bench

RUNS ?= 20
SEED ?= 1
gauntlet: $(dev_stamp) ## trade against the double of the venue, under faults and kill -9 (RUNS=, SEED=)
	$(BIN)/python -m tests.venue_gauntlet --runs $(RUNS) --seed $(SEED)

CASES ?= 50000
fuzz: $(dev_stamp) ## garbage for the venue's answers and frames (CASES=, SEED=)
	$(BIN)/python -m tests.venue_fuzz --cases $(CASES) --seed $(SEED)

BENCH_ARGS ?=
bench-venue: $(dev_stamp) ## many positions at a venue that is far away (BENCH_ARGS="--symbols 30 --latency 200")
	$(BIN)/python -m tests.bench_venue $(BENCH_ARGS)

boot-test: $(dev_stamp) ## install on a Debian that is booted for it, break it, upgrade it (root, systemd-nspawn)
	$(BIN)/python -m tests.boot

node-modules: ## what the tests of the AsyncAPI document and of the Node example need (npm)
	npm ci --prefix tests/asyncapi --ignore-scripts --no-audit --no-fund

format: $(dev_stamp) ## put the code in the one format, with the fixes that are safe
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(dev_stamp) ## write the JSON Schemas of the messages anew
	$(BIN)/quantum schemas

install: $(dev_stamp) ## make .venv with all that is needed, and do nothing else

# One lock for Python 3.11 to 3.14 on every platform. Pins stay where they are unless
# `make lock UPGRADE=--upgrade` asks for newer ones.
UV ?= $(firstword $(wildcard $(BIN)/uv) uv)
UPGRADE ?=
compile = env -u UV_FIND_LINKS -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL \
	$(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(UPGRADE) --extra server --group build

lock: ## write the three requirements files anew from pyproject.toml (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(compile) --output-file requirements.txt pyproject.toml
	$(compile) --extra live --extra notices --constraints requirements.txt --output-file requirements-live.txt pyproject.toml
	$(compile) --extra live --extra notices --group dev --constraints requirements-live.txt --output-file requirements-dev.txt pyproject.toml

clean: ## remove .venv and what tools leave behind; data folders stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find services shared tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(venv_stamp):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { \
		echo "quantum-trader needs Python 3.11 to 3.14, and $(PYTHON) is $(python_version)." >&2; \
		echo "Name another one: PYTHON=python3.12 make test" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment: apt install python3-venv" >&2; exit 1; }
	@# One of the same Python is kept as it is; one of another Python is made anew.
	@[ "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(python_version)" ] \
		|| { echo "Making $(VENV) with Python $(python_version)"; $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

$(runtime_stamp): requirements.txt pyproject.toml $(venv_stamp)
	@echo "Installing what the daemons need in $(VENV)"
	@$(pip_install) --require-hashes -r requirements.txt
	@$(install_project)
	@touch $@

$(dev_stamp): requirements-dev.txt pyproject.toml $(venv_stamp)
	@echo "Installing what the daemons and their tests need in $(VENV)"
	@$(pip_install) --require-hashes -r requirements-dev.txt
	@$(install_project)
	@touch $@
