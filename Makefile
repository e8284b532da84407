# Kalshi warehouse. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV ?= .venv
PGDATA_DIR ?= .pgdata
PORT ?= 8080
WORKERS ?= 2
ARGS ?=
EXTRAS ?=

# The demo keeps its simulated data out of the real warehouse.
DEMO_PGDATA_DIR = $(if $(filter command environment,$(firstword $(origin PGDATA_DIR))),$(PGDATA_DIR),.pgdata-demo)

export PGDATA_DIR

BIN := $(VENV)/bin
ELT := $(BIN)/kalshi-elt
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." passes arguments on, as in: make load ARGS="--event KXPRESPERSON-28 --since 7d"'
	@echo '  DATABASE_URL=postgresql://... uses that server instead of the embedded one in $(PGDATA_DIR)/'

INSTALL := $(PYTHON) tools/install.py

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(INSTALL) $(VENV) requirements.lock --project
	@touch $@

# an extra: what its lock adds
$(INSTALLED)-%: requirements-%.lock | $(INSTALLED)
	@$(INSTALL) $(VENV) $<
	@touch $@

.PHONY: setup
setup: $(INSTALLED) $(EXTRAS:%=$(INSTALLED)-%) ## install it into .venv (or VENV=): make setup [EXTRAS="charts parquet"]

CHARTS := setup $(INSTALLED)-charts
PARQUET := setup $(INSTALLED)-parquet
# the types of the extras' packages are checked, too
DEVELOPMENT := $(CHARTS) $(PARQUET) $(INSTALLED)-dev

.PHONY: load
load: setup ## fetch from Kalshi and land it in kalshi_raw
	@$(ELT) load $(ARGS)

.PHONY: transform
transform: setup ## type and test what landed: dbt build
	@$(ELT) transform $(ARGS)

.PHONY: run
run: setup ## one job, as for a schedule: load, then transform, recorded in kalshi_ops.runs
	@$(ELT) run $(ARGS)

.PHONY: export
export: $(PARQUET) ## write the typed tables as files: make export ARGS="--to DIR [--format csv]"
	@$(ELT) export $(ARGS)

.PHONY: chart
chart: $(CHARTS) ## draw an event or a market: make chart ARGS="TICKER [--png] [--terminal]"
	@$(ELT) chart $(ARGS)

.PHONY: backup
backup: setup ## write the whole warehouse into a folder: make backup ARGS="DIR"
	@$(ELT) backup $(ARGS)

.PHONY: restore
restore: setup ## restore a backup into an empty warehouse: make restore ARGS="DIR"
	@$(ELT) restore $(ARGS)

.PHONY: replay
replay: setup ## rebuild all typed tables from raw: make replay ARGS="--verify"
	@$(ELT) replay $(ARGS)

.PHONY: check
check: setup ## test everything in the warehouse, and how fresh it is: dbt test, dbt source freshness
	@$(ELT) check

.PHONY: prune
prune: setup ## remove raw windows that are typed: make prune ARGS="--raw-older-than 30d"
	@$(ELT) prune $(ARGS)

.PHONY: bench
bench: setup ## measure speed, memory and size: make bench ARGS="landing", or all of it
	@$(BIN)/python -m bench $(or $(ARGS),all)

.PHONY: test
test: $(DEVELOPMENT) ## run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: test-fast
test-fast: $(DEVELOPMENT) ## run the tests that need no server and no dbt: within 90 s
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not server and not slow' $(ARGS)

DAGSTER_VENV ?= .venv-dagster
DAGSTER_INSTALLED := $(DAGSTER_VENV)/.installed

# an environment of its own, so that what `make test` tests is what users have
$(DAGSTER_INSTALLED): requirements.lock requirements-dagster.lock pyproject.toml
	@$(INSTALL) $(DAGSTER_VENV) requirements.lock requirements-dagster.lock --project
	@touch $@

$(DAGSTER_INSTALLED)-dev: requirements-dev.lock | $(DAGSTER_INSTALLED)
	@$(INSTALL) $(DAGSTER_VENV) $<
	@touch $@

.PHONY: dagster
dagster: $(DAGSTER_INSTALLED) ## run Dagster with the warehouse's assets, on http://127.0.0.1:3000
	@mkdir -p .dagster && cp orchestration/dagster.yaml .dagster/
	@DAGSTER_HOME=$(CURDIR)/.dagster $(DAGSTER_VENV)/bin/dagster dev --host 127.0.0.1 -m orchestration.definitions

.PHONY: test-dagster
test-dagster: $(DAGSTER_INSTALLED) $(DAGSTER_INSTALLED)-dev ## run the tests of the Dagster definitions
	@$(DAGSTER_VENV)/bin/python -m mypy --cache-dir .mypy_cache/dagster orchestration
	@$(DAGSTER_VENV)/bin/python -m pytest tests/orchestration $(ARGS)

.PHONY: test-clocks
test-clocks: $(DEVELOPMENT) ## run the tests that look at the clock at awkward times; needs faketime
	@$(BIN)/python -m tests.at_other_times $(ARGS)

.PHONY: soak
soak: $(DEVELOPMENT) ## break everything around the job for ten minutes, and kill sixty loads
	@$(BIN)/python -m pytest -s tests/job/test_soak.py tests/load/test_kill.py --soak-seconds 600 --kill-points 60 $(ARGS)

# Each lock has what its extra adds to requirements.lock, which says the versions of all else. uv
# is told by name what to leave out, and what it then lists as left out goes.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--custom-compile-command 'make lock' $(ARGS)
LOCKED = sed -n 's/^\([a-zA-Z0-9._-]*\)[^ ]*==.*/--no-emit-package \1/p' requirements.lock
LOCK_EXTRA = $(LOCK) $$($(LOCKED)) --constraint requirements.lock pyproject.toml
ONLY_ADDED = sed '/^\# The following packages were excluded/,$$d'

.PHONY: lock
lock: ## write the lock files anew, with uv: make lock ARGS=--upgrade
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK_EXTRA) --extra charts -o requirements-charts.lock
	@$(LOCK_EXTRA) --extra parquet -o requirements-parquet.lock
	@$(LOCK_EXTRA) --extra dev -o requirements-dev.lock
	@$(LOCK_EXTRA) --extra dagster --constraint requirements-dev.lock -o requirements-dagster.lock
	@for lock in charts parquet dev dagster; do \
		$(ONLY_ADDED) requirements-$$lock.lock > .lock && mv .lock requirements-$$lock.lock || exit 1; \
	done

.PHONY: docs
docs: setup ## write the dbt docs as one HTML file
	@$(ELT) docs

.PHONY: site
site: $(CHARTS) ## write a static site with charts into site/: make site ARGS="--to DIR --event EVENT"
	@$(ELT) site $(ARGS)

.PHONY: docs-serve
docs-serve: docs ## show the docs on http://127.0.0.1:8080 (or PORT=)
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory target/docs

.PHONY: dictionary
dictionary: setup ## write docs/data_dictionary.md from dbt's YAML
	@$(BIN)/python -m kalshi_elt.transform.dictionary

.PHONY: settings
settings: setup ## write the settings into .dlt/config.toml and docs/settings.md, from their declarations
	@$(BIN)/python -m kalshi_elt.load.settings_texts

.PHONY: demo
demo: setup ## see it work without the network: simulator, load, transform
	@PGDATA_DIR=$(DEMO_PGDATA_DIR) $(BIN)/python -m simulator.demo

.PHONY: screenshots
screenshots: $(DEVELOPMENT) ## take the pictures of the README anew, into docs/images/; needs Chromium
	@$(BIN)/python -m tests.screenshots

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
lint: $(DEVELOPMENT) ## ruff, mypy, import-linter and sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/sqlfluff lint --processes $(WORKERS) --disable-progress-bar dbt_project/models dbt_project/tests

.PHONY: format
format: $(DEVELOPMENT) ## let ruff format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: clean
clean: ## remove what was built; the warehouse stays
	@rm -rf target logs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
