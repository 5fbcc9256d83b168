# Everything one does with Turnwise. `make help` lists it.

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test check bench simulate simulate-teeth chaos environment clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: $(VENV)/run.stamp  ## start everything in the foreground (Ctrl-C stops it)
	@$(BIN)/turnwise run

test: $(VENV)/dev.stamp  ## the whole test suite
	@$(BIN)/python -m tests

check: $(VENV)/dev.stamp  ## lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/dev.stamp  ## speed and memory, as a table
	@$(BIN)/python -m bench

SEEDS ?= 10000
FIRST ?= 0
OF ?= all

simulate: $(VENV)/dev.stamp  ## random runs of the rules and of the service under faults: make simulate SEEDS=1000000 OF=rules|service|all
	@case "$(OF)" in rules|service|all) ;; *) echo "OF is rules, service or all, not $(OF)" >&2; exit 2;; esac
	@[ "$(OF)" = service ] || $(BIN)/python -m tests.schedules $(SEEDS) $(FIRST)
	@[ "$(OF)" = rules ] || $(BIN)/python -m tests.simulation $(SEEDS) $(FIRST)

TEETH ?= 300

simulate-teeth: $(VENV)/dev.stamp  ## break the protocol in five ways; how many of TEETH runs notice
	@$(BIN)/python -m tests.simulation teeth $(TEETH)

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
