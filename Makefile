# `make demo` and `make test` do all set-up by themselves. Settings come from the environment, and what it does not set
# from .env (written once, yours to edit), which the commands read themselves.
SHELL := /bin/bash
PYTHON ?= python3.11
ROOT := $(CURDIR)
export DAGSTER_DISABLE_TELEMETRY := yes
BIN := .venv/bin
COMMANDS := $(BIN)/python -m platform_assets.commands
INSTALLED := .venv/.installed

.PHONY: setup demo demo-all ui late-event stop migrate preflight collect-garbage chromium screenshots test test-faults lint bench clean

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.env:
	printf '%s\n' 'PLATFORM_HOME=$(ROOT)/.platform' 'DAGSTER_HOME=$(ROOT)' \
	  'PLATFORM_DAGSTER_STORAGE=$(ROOT)/.platform/dagster' \
	  '# The demo calendar: nine weeks. Leave PLATFORM_PLANNER_END out for an open calendar.' \
	  'PLATFORM_PLANNER_START=2026-01-02' 'PLATFORM_PLANNER_END=2026-03-06' \
	  '# The demo is small; the defaults are 1000 rows, and 1000 rows / 250 households for the gate.' \
	  'PLATFORM_PLANNER_MINIMUM_ROWS=100' 'PLATFORM_PLANNER_GATE_ROWS=200' 'PLATFORM_PLANNER_GATE_HOUSEHOLDS=150' \
	  '# Steps of the tiny base model; the default is made for the benchmark.' 'PLATFORM_PLANNER_TINY_STEPS=800' \
	  '# The retailer of the demo has sixty weeks. Leave it out for the 117 of the documented data.' \
	  'PLATFORM_RETAIL_END=2007-06-04' > $@

setup: $(INSTALLED) .env  ## install, and prepare Postgres, MLflow and the folders
	$(COMMANDS) setup

demo: $(INSTALLED) .env  ## simulate a meal-planning app and build every day and week of it
	$(COMMANDS) demo

demo-all: $(INSTALLED) .env  ## the demo, on through two models to their verdicts, then a retailer's world model and a query router to theirs
	$(COMMANDS) demo-all

ui: $(INSTALLED) .env  ## open Dagster and MLflow
	$(COMMANDS) ui

DAY ?= 2026-02-03
late-event: $(INSTALLED) .env  ## record a plan today that was accepted on DAY; while `make ui` runs
	$(COMMANDS) late-event --day $(DAY)

stop: $(INSTALLED)  ## stop the embedded Postgres
	$(COMMANDS) stop

migrate: $(INSTALLED) .env  ## show the SQL of pending migrations; APPLY=1 runs it
	$(COMMANDS) migrate $(if $(APPLY),--apply)

preflight: $(INSTALLED) .env  ## name what your Postgres, lake and MLflow lack
	$(COMMANDS) preflight

collect-garbage: $(INSTALLED) .env  ## list what in the lake nothing names; APPLY=1 marks it, and deletes what was marked DAYS=7 ago
	$(COMMANDS) collect-garbage $(if $(APPLY),--apply) $(if $(DAYS),--minimum-age-days $(DAYS))

chromium:  ## Debian's Chromium, for the tests that open the UI; where it cannot be installed they are skipped
	@if chromium --version >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null \
	    || echo "chromium could not be installed: tests that open the UI in a browser are skipped"; \
	else echo "no chromium (as root on Debian: make chromium): tests that open the UI in a browser are skipped"; fi

screenshots: $(INSTALLED) chromium  ## photograph the demo's pages for the README; while `make ui` runs
	$(BIN)/python -m platform_assets_tests.end_to_end.screenshots

# Tests bring their own services and folders: the settings of .env must not reach them.
UNSET := env -u PLATFORM_HOME -u PLATFORM_PLANNER_START -u PLATFORM_PLANNER_END -u PLATFORM_PLANNER_MINIMUM_ROWS \
  -u PLATFORM_PLANNER_GATE_ROWS -u PLATFORM_PLANNER_GATE_HOUSEHOLDS -u PLATFORM_PLANNER_TINY_STEPS -u PLATFORM_PLANNER_MODEL_BASE \
  -u PLATFORM_PLANNER_TRAINING_WEEKS -u PLATFORM_PLANNER_RETRAIN_GAP_WEEKS -u PLATFORM_PLANNER_RETRAIN_ROWS \
  -u PLATFORM_RETAIL_START -u PLATFORM_RETAIL_END -u PLATFORM_RETAIL_SOURCE -u PLATFORM_RETAIL_RETRAIN_WEEKS \
  -u PLATFORM_RETAIL_TRAINING_OPTIONS -u PLATFORM_RETAIL_GATE_ROWS -u PLATFORM_RETAIL_GATE_CUSTOMERS \
  -u PLATFORM_TRINO_START -u PLATFORM_TRINO_END -u PLATFORM_TRINO_SOURCE -u PLATFORM_TRINO_CONFIGURATION \
  -u PLATFORM_TRINO_RETRAIN_WEEKS \
  -u PLATFORM_TRINO_TRAINING_OPTIONS -u PLATFORM_TRINO_GATE_ROWS -u PLATFORM_TRINO_GATE_TEMPLATES \
  -u PLATFORM_LAKE_URL -u PLATFORM_WAREHOUSE_URL -u PLATFORM_SOURCE_URL -u PLATFORM_ALERT_WEBHOOK \
  -u PLATFORM_LAKE_SINGLE_WRITER -u MLFLOW_TRACKING_URI -u DAGSTER_HOME -u PLATFORM_DAGSTER_STORAGE \
  -u AWS_ENDPOINT_URL -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_REGION -u PLATFORM_DAGSTER_URL
# A third worker on two cores: whoever waits for a daemon leaves room. Files are begun in the order of conftest.py.
test: $(INSTALLED) chromium  ## every test; of the points of failure a seeded sample
	$(UNSET) -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-faults: $(INSTALLED)  ## kill publishers and collectors at every point there is, and print how many
	$(UNSET) $(BIN)/python -m pytest -n 2 -m faults --every-kill-point --timeout 3600

lint: $(INSTALLED)  ## ruff and pyright
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

# Feast wants other versions than this project, so it has an environment of its own.
.venv-feast/bin/feast:
	$(PYTHON) -m venv .venv-feast
	.venv-feast/bin/python -m pip install --quiet --disable-pip-version-check 'feast[duckdb]==0.67.0'

bench: $(INSTALLED) .venv-feast/bin/feast  ## ratios against peers, measured in one run
	$(BIN)/python -m benchmarks

clean:  ## delete everything made here but the settings
	test ! -x $(BIN)/python || $(COMMANDS) stop || true
	rm -rf .venv .venv-feast .platform build *.egg-info .pytest_cache .ruff_cache .hypothesis
