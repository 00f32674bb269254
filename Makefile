# Two commands do all the set-up they need: `make test` and `make lint`.
# The environment lives in .venv and is made again when pyproject.toml changes.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The CPU build of torch. Where the registry's own build is the CUDA one, the
# extra index has the CPU build; where that index is out of reach, pip goes on.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: test lint format clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --retries 1 --timeout 30 \
	    --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[jax,tensorflow,torch,recipes,docs,dev]"
	touch $@

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What does not depend on the backend is tested once, with the first one.
BACKEND_FREE := tests/coding tests/entropy_models tests/data tests/test_package.py

test: lint
	KERAS_BACKEND=jax $(BIN)/pytest
	KERAS_BACKEND=tensorflow $(BIN)/pytest $(BACKEND_FREE:%=--ignore=%)
	# Small models: more than one thread is spent waiting for the others.
	OMP_NUM_THREADS=1 KERAS_BACKEND=torch $(BIN)/pytest $(BACKEND_FREE:%=--ignore=%)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
