# Targets set up .venv when they first need it, and again when the requirements change.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test lint bench gpu docs

help:
	@echo "make demo   measures the bundled network; writes pictures and a report to runs/demo"
	@echo "make test   runs the tests"
	@echo "make lint   checks style, types and the packages' imports"
	@echo "make docs   builds the documentation into site/"
	@echo "make bench  compares the solver with other procedures, then tests scaling; pass options in BENCH= and SCALE="
	@echo "make gpu    on a machine with a GPU: tests, speeds and a plan, into gpu.json and docs/gpu.md; eight minutes"

demo: $(READY)
	$(BIN)/infodiscard demo --out runs/demo

# One thread per worker: OpenMP processes that each use every core spend their time waiting for one another.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Warnings are errors. The variable silences a notice of the theme about other software.
docs: $(READY)
	$(BIN)/python docs/commands.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# First this solver, the published procedures, Captum and plain passes, alternately on one machine; see python -m
# benchmarks.bench --help. Then Ray, the store, many samples, very many problems and forecasts; see python -m
# benchmarks.scale --help.
bench: $(READY)
	$(BIN)/python -m benchmarks.bench $(BENCH)
	$(BIN)/python -m benchmarks.scale $(SCALE)

# No network connection is needed; pass options in GPU=, such as GPU="--device cpu --size tiny" to try it without one.
gpu: $(READY)
	$(BIN)/python -m benchmarks.gpu --page docs/gpu.md $(GPU)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is required; select one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv, once; this takes a few minutes."
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)
