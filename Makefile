# Kalshi warehouse. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV ?= .venv
PGDATA_DIR ?= .pgdata
PORT ?= 8080
ARGS ?=

# The demo keeps its simulated data out of the real warehouse.
DEMO_PGDATA_DIR = $(if $(filter command environment,$(firstword $(origin PGDATA_DIR))),$(PGDATA_DIR),.pgdata-demo)

export PGDATA_DIR

BIN := $(VENV)/bin
ELT := $(BIN)/kalshi-elt
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." passes arguments on, as in: make load ARGS="--event KXPRESPERSON-28 --since 7d"'
	@echo '  DATABASE_URL=postgresql://... uses that server instead of the embedded one in $(PGDATA_DIR)/'

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@echo 'setting up $(VENV) (once; a minute or so)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(INSTALLED) ## install everything into .venv (or VENV=)

.PHONY: load
load: setup ## fetch from Kalshi and land it in kalshi_raw
	@$(ELT) load $(ARGS)

.PHONY: transform
transform: setup ## type and test what landed: dbt build
	@$(ELT) transform $(ARGS)

.PHONY: test
test: setup ## run the tests
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: docs
docs: setup ## write the dbt docs as one HTML file
	@$(ELT) docs

.PHONY: docs-serve
docs-serve: docs ## show the docs on http://127.0.0.1:8080 (or PORT=)
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory target/docs

.PHONY: demo
demo: setup ## see it work without the network: simulator, load, transform
	@PGDATA_DIR=$(DEMO_PGDATA_DIR) $(BIN)/python -m tests.demo

.PHONY: psql
psql: setup ## open psql on the warehouse
	@$(ELT) psql $(ARGS)

.PHONY: status
status: setup ## what is in the warehouse, and how new
	@$(ELT) status $(ARGS)

.PHONY: stop
stop: setup ## stop the embedded PostgreSQL
	@$(ELT) stop

.PHONY: lint
lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: setup ## let ruff format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: clean
clean: ## remove what was built; the warehouse stays
	@rm -rf target logs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
