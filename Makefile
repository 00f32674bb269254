# Two commands do all the set-up they need: `make test` and `make lint`.
# The environment lives in .venv and is made again when pyproject.toml changes.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The CPU build of torch. Where the registry's own build is the CUDA one, the
# extra index has the CPU build; where that index is out of reach, pip goes on.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test bench lint format docs clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --retries 1 --timeout 30 \
	    --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[jax,tensorflow,torch,recipes,docs,dev]"
	touch $@

# Text to report in minutes, from the built-in presets; with FROM_SCRATCH=1,
# without them, in a workdir of its own. PyTorch in float32 trains small models fastest on
# CPUs without bfloat16 units (`KERAS_BACKEND=jax make demo` for another one).
# Interrupted, it goes on from where it was. glibc gives large tensors back to
# the system at once, which then clears each page anew; it is told not to.
demo: export MALLOC_MMAP_MAX_ := 0
demo: export MALLOC_TRIM_THRESHOLD_ := 4294967296
demo: $(VENV)/installed
	KERAS_BACKEND=$${KERAS_BACKEND:-torch} $(BIN)/python -m recipes.quickstart \
	    --config tiny $(if $(FROM_SCRATCH),--from_scratch --workdir \
	    runs/demo_from_scratch,--workdir runs/demo)

# Speed and bytes per token against named peers; encoded files beside other
# compressors; training steps; generation.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.tokenizers
	$(BIN)/python -m benchmarks.ratios
	$(BIN)/python -m benchmarks.compressors
	$(BIN)/python -m benchmarks.corpora
	KERAS_BACKEND=jax $(BIN)/python -m benchmarks.training
	KERAS_BACKEND=$${KERAS_BACKEND:-jax} $(BIN)/python -m benchmarks.generation

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Much of a test's time is compilation on one core: two files at a time, in the
# order of tests/conftest.py.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What does not depend on the backend is tested once, with torch, where nothing
# waits for XLA to compile.
BACKEND_FREE := $(addprefix tests/,benchmarks cli coding data entropy_models \
    recipes tutorials test_any_ids.py test_docstrings.py test_evaluation.py \
    test_formats.py test_loaders.py test_package.py test_progress.py \
    test_texts.py) \
    $(addprefix tests/tokenizers/test_,arithmetic.py bpe.py dictionary.py \
    gzip.py live_windows.py sentencepiece.py \
    vocabularies.py zero_padded.py)

# Tiny models spend their time being compiled; XLA need not optimize them.
test: export XLA_FLAGS := --xla_backend_optimization_level=0 \
    --xla_llvm_disable_expensive_passes=true
test: lint
	KERAS_BACKEND=jax $(PYTEST) $(BACKEND_FREE:%=--ignore=%)
	KERAS_BACKEND=tensorflow $(PYTEST) $(BACKEND_FREE:%=--ignore=%)
	# Small models: more than one thread is spent waiting for the others.
	OMP_NUM_THREADS=1 KERAS_BACKEND=torch $(PYTEST)

# The reference documentation, links checked, into build/site.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
