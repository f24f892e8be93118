.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Tests that wait leave a core to others; they share one PostgreSQL and one Redis.
JOBS ?= 6
# A test process that dies ends the run: pytest-xdist 3.8 may wait for ever when it replaces one
# (pytest-dev/pytest-xdist 1323 and 1378).
SPREAD := --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# What the tests of the console need from npm is there when this file is.
TOOLS := tests/browser/node_modules/.package-lock.json

.PHONY: help setup run demo test test-tools tools test-browser screenshots check fmt lint types arch audit advisories storm properties siege flaky mutants fuzz compose-check bench bench-scale bench-lists bench-web bench-latency bench-console bench-forecast bench-webhooks lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.done ## create the virtual environment (once; every target below does it by itself)

$(VENV)/.done: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say which: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q billing schedules workers
	@touch $@

run: setup ## start everything on this machine with the sandbox as gateway (Ctrl-C ends it)
	@$(BIN)/billing up

demo: setup ## play a year for 120 subscribers and compare with the gateway's ledger
	@$(BIN)/python -m billing.local.demo

test: setup ## run the tests (real PostgreSQL, Redis and gateway process)
	@$(BIN)/pytest -q -n $(JOBS) $(SPREAD) -m "not tools"

test-tools: setup ## test what tests and measures: the storm finds planted bugs, benchmarks measure
	@$(BIN)/pytest -q -n $(JOBS) $(SPREAD) -m tools

tools: $(TOOLS) ## what the tests of the console need from npm (axe-core, into tests/browser)

$(TOOLS): tests/browser/package-lock.json tests/browser/package.json
	@npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

test-browser: setup tools ## the console in Chromium, which must be installed (apt-get install chromium npm)
	@OVO_BROWSER=required $(BIN)/pytest -q tests/browser

screenshots: setup ## pictures of every page of the console, into .local/screenshots
	@OVO_BROWSER=required $(BIN)/pytest -q -p no:randomly tests/browser/screenshots.py
	@echo "see .local/screenshots"

check: setup lint types arch test test-tools ## format, lint, types, import contracts, all tests: what CI runs

fmt: setup ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: setup ## ruff: format and rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup ## mypy, strict
	@$(BIN)/mypy

arch: setup ## import contracts between the packages
	@$(BIN)/lint-imports --no-cache

audit: setup ## check every invariant of the database that the settings name
	@$(BIN)/billing audit

advisories: ## ask the package index for known vulnerabilities of pinned versions; exit code 2 when it cannot say
	@$(PYTHON) -m venv $(VENV)/advisories
	@$(VENV)/advisories/bin/pip install --quiet --disable-pip-version-check pip-audit \
		|| { echo "advisories: cannot say: pip-audit cannot be installed from the package index" >&2; exit 2; }
	@$(VENV)/advisories/bin/python .ci/advisories.py

storm: setup ## simulated faults, seed after seed (SEED=… replays one; SEEDS=200; NARROW=1: fewer acts; LONG=1: properties too)
	@$(BIN)/python -m tests.faults.storm $(if $(NARROW),,--wide) $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200))
	@$(if $(LONG),$(MAKE) --no-print-directory properties)

properties: setup ## random lives of money and of paid time against independent models (LIVES=2000 of each)
	@STATEFUL_EXAMPLES=$(or $(LIVES),2000) $(BIN)/pytest -q -n 2 --dist loadfile tests/property/test_conservation.py tests/property/test_paid_time.py

siege: setup ## kill workers, web, Redis and PostgreSQL under load, then compare with the ledger
	@$(BIN)/python -m tests.faults.siege

flaky: setup ## run the suite ten times: half with all cores busy, half under nohup, in random orders
	@$(BIN)/python -m tests.flaky --runs $(or $(RUNS),10)

mutants: setup ## plant known bugs into copies of the tree, one by one; the tests must find each
	@$(BIN)/python -m tests.mutants

fuzz: setup ## hostile requests over the whole HTTP interface, many examples
	@FUZZ_EXAMPLES=100 $(BIN)/pytest -q -p no:randomly tests/integration/test_web_fuzz.py

bench: setup ## bare posts, a hand-written loop and the engine in one run (under ten minutes)
	@$(BIN)/python -m tests.bench

bench-scale: setup ## a million subscriptions, a payday of 100,000, and five million old charges
	@$(BIN)/python -m tests.bench.scale

bench-lists: setup ## every list with each filter, with a million subscriptions and their past
	@$(BIN)/python -m tests.bench.listed

bench-web: setup ## the HTTP interface against bare FastAPI handlers with the same statements
	@$(BIN)/python -m tests.bench.web

bench-latency: setup ## the web server at a steady rate, with a million subscriptions and their past
	@$(BIN)/python -m tests.bench.latency

bench-console: setup ## every page of the console, with a million subscriptions and five million charges
	@$(BIN)/python -m tests.bench.console

bench-webhooks: setup ## charging with and without an endpoint that receives every event
	@$(BIN)/python -m tests.bench.webhooks

bench-forecast: setup ## a million subscriptions: time to the forecast's first line, and its memory
	@$(BIN)/python -m tests.bench.forecast

compose-check: ## docker-compose.yml on a real Docker Engine made of Debian's packages (root; seven minutes)
	@deploy/compose-check

lock: setup ## resolve the dependencies again (needs uv)
	@uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --override .ci/overrides.txt \
		--extra local --extra dev pyproject.toml -o requirements.lock
	@uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --constraint requirements.lock \
		pyproject.toml -o requirements-production.lock

clean: ## remove the virtual environment and what the local stack keeps
	@rm -rf $(VENV) .local
