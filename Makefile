# Everything one does with Turnwise. `make help` lists it.

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test check bench simulate chaos environment clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: $(VENV)/run.stamp  ## start everything in the foreground (Ctrl-C stops it)
	@$(BIN)/turnwise run

test: $(VENV)/dev.stamp  ## the whole test suite
	@$(BIN)/python -m pytest

check: $(VENV)/dev.stamp  ## lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/dev.stamp  ## speed and memory, as a table
	@$(BIN)/python -m bench

SEEDS ?= 20000
FIRST ?= 0

simulate: $(VENV)/dev.stamp  ## random schedules through the rules: make simulate SEEDS=1000000
	@$(BIN)/python -m tests.schedules $(SEEDS) $(FIRST)

MINUTES ?= 5
CHAOS ?=

chaos: $(VENV)/dev.stamp  ## faults on the running service, as a table: make chaos MINUTES=60 CHAOS="--seed 7"
	@$(BIN)/python -m tests.chaos $(MINUTES) $(CHAOS)

environment: $(VENV)/dev.stamp  ## the virtual environment, without starting anything

clean:  ## remove the environment (the data in .turnwise stay)
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/run.stamp: pyproject.toml constraints.txt environment.sh
	@sh environment.sh $(VENV) . "$(PYTHON)"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt environment.sh
	@sh environment.sh $(VENV) '.[dev]' "$(PYTHON)"
	@touch $@ $(VENV)/run.stamp
