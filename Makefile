# `make demo` and `make test` set up what they need in .venv, once, and again when the requirements change.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test lint bench docs

help:
	@echo "make demo   measures the network that the package carries; leaves pictures and a report in runs/demo"
	@echo "make test   runs the tests"
	@echo "make lint   checks style and types"
	@echo "make docs   builds the documentation into site/"
	@echo "make bench  compares the solver with other procedures, then tests its scale; options go into BENCH= and SCALE="

demo: $(READY)
	$(BIN)/infodiscard demo --out runs/demo

# One thread per worker: two OpenMP processes that each take every core spend their time waiting for one another.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# A warning fails it. The variable leaves out a notice of the theme's about other software.
docs: $(READY)
	$(BIN)/python docs/commands.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# In turns on one machine: ours, the published procedures, Captum and plain passes; see python -m benchmarks.bench --help.
# Then Ray, the store, many samples, very many problems and forecasts; see python -m benchmarks.scale --help.
bench: $(READY)
	$(BIN)/python -m benchmarks.bench $(BENCH)
	$(BIN)/python -m benchmarks.scale $(SCALE)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv, once; this takes a few minutes."
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)
