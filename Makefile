# `make demo` and `make test` do all set-up by themselves. Settings come from .env (written once, yours to edit).
SHELL := /bin/bash
PYTHON ?= python3.11
ROOT := $(CURDIR)
-include .env
export PLATFORM_HOME ?= $(ROOT)/.platform
export DAGSTER_HOME ?= $(ROOT)
export PLATFORM_DAGSTER_STORAGE ?= $(PLATFORM_HOME)/dagster
export PLATFORM_PLANNER_START PLATFORM_PLANNER_END PLATFORM_PLANNER_MINIMUM_ROWS
export PLATFORM_LAKE_URL PLATFORM_WAREHOUSE_URL PLATFORM_SOURCE_URL PLATFORM_LAKE_SINGLE_WRITER PLATFORM_ALERT_WEBHOOK
export MLFLOW_TRACKING_URI AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION
export DAGSTER_DISABLE_TELEMETRY := yes
BIN := .venv/bin
COMMANDS := $(BIN)/python -m platform_assets.commands
INSTALLED := .venv/.installed

.PHONY: setup demo ui late-event stop migrate preflight test lint bench clean

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.env:
	printf '%s\n' 'PLATFORM_HOME=$(ROOT)/.platform' 'DAGSTER_HOME=$(ROOT)' \
	  'PLATFORM_DAGSTER_STORAGE=$(ROOT)/.platform/dagster' \
	  '# The demo calendar: nine weeks. Leave PLATFORM_PLANNER_END out for an open calendar.' \
	  'PLATFORM_PLANNER_START=2026-01-02' 'PLATFORM_PLANNER_END=2026-03-06' \
	  '# The demo is small; the default is 1000.' 'PLATFORM_PLANNER_MINIMUM_ROWS=100' > $@

setup: $(INSTALLED) .env  ## install, and prepare Postgres, MLflow and the folders
	mkdir -p $(PLATFORM_DAGSTER_STORAGE)
	$(COMMANDS) setup

demo: $(INSTALLED) .env  ## simulate a meal-planning app and build every day and week of it
	mkdir -p $(PLATFORM_DAGSTER_STORAGE)
	$(COMMANDS) demo

ui: $(INSTALLED) .env  ## open Dagster and MLflow
	mkdir -p $(PLATFORM_DAGSTER_STORAGE)
	$(COMMANDS) ui

DAY ?= 2026-02-03
late-event: $(INSTALLED) .env  ## record a plan today that was accepted on DAY; while `make ui` runs
	$(BIN)/python -m platform_assets.simulators.meal_app late-event --url "$$($(COMMANDS) url)" --day $(DAY)

stop: $(INSTALLED)  ## stop the embedded Postgres
	$(COMMANDS) stop

migrate: $(INSTALLED) .env  ## show the SQL of pending migrations; APPLY=1 runs it
	$(COMMANDS) migrate $(if $(APPLY),--apply)

preflight: $(INSTALLED) .env  ## name what your Postgres, lake and MLflow lack
	$(COMMANDS) preflight

# Tests bring their own services and folders: the settings of .env must not reach them.
test: $(INSTALLED)  ## every test
	env -u PLATFORM_HOME -u PLATFORM_PLANNER_START -u PLATFORM_PLANNER_END -u PLATFORM_PLANNER_MINIMUM_ROWS \
	  -u PLATFORM_LAKE_URL -u PLATFORM_WAREHOUSE_URL -u PLATFORM_SOURCE_URL -u PLATFORM_ALERT_WEBHOOK \
	  -u PLATFORM_LAKE_SINGLE_WRITER -u MLFLOW_TRACKING_URI -u DAGSTER_HOME -u PLATFORM_DAGSTER_STORAGE \
	  -u AWS_ENDPOINT_URL -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_REGION \
	  $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(INSTALLED)  ## ruff and pyright
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

bench: $(INSTALLED)  ## ratios against peers, measured in one run
	$(BIN)/python -m benchmarks

clean:  ## delete everything made here but the settings
	test ! -x $(BIN)/python || $(COMMANDS) stop || true
	rm -rf .venv .platform build *.egg-info .pytest_cache .ruff_cache .hypothesis
