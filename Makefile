# A table of contents over scripts/. `make` alone lists the targets. No target commits or pushes anything.

PYTHON ?= python3
VENV ?= .venv
EXTRAS = dev,jax,parquet,hdf5,blosc2,zarr,plot,turbo
# Backends that `make test-backends` goes through, and what it installs for them into the same environment. A plain
# `torch` from the package index may be a CUDA build of several GB: the exact version is asked for, and a CUDA build is
# refused unless ALLOW_CUDA=1. Where there is no CPU build: TORCH_PIP='--index-url ...' or TORCH=/path/to/file.whl.
BACKENDS ?= jax torch tensorflow
TORCH ?= torch==2.13.0
TORCH_PIP ?=
TENSORFLOW ?= tensorflow-cpu>=2.18
ALLOW_CUDA ?= 0
KILL_SEEDS ?= 40
# Processes that share the tests, file by file; JOBS=0 keeps them in one, for a debugger or output as it comes.
JOBS ?= auto
ARGS ?=

BIN = $(VENV)/bin
READY = $(VENV)/.ready
SHARED = -n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# Training and tests: JAX unless the caller says otherwise, and no start-up chatter from the backends.
KERAS_BACKEND ?= jax
export KERAS_BACKEND
export TF_CPP_MIN_LOG_LEVEL ?= 2
export TF_ENABLE_ONEDNN_OPTS ?= 0
export MPLBACKEND ?= Agg

.PHONY: help setup train selftest test test-backends kill fuzz docs-check lint format types layers check bench samples build clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) JOBS=$(JOBS) KERAS_BACKEND=$(KERAS_BACKEND) BACKENDS='$(BACKENDS)' ARGS='...' (passed on)"

$(READY): setup.cfg pyproject.toml scripts/setup_venv.sh
	@scripts/setup_venv.sh "$(PYTHON)" "$(VENV)" "$(EXTRAS)"
	@touch $@

setup: $(READY) ## make .venv with all that is needed; runs again only when setup.cfg changed

train: $(READY) ## train the merged model on data_samples by the recipe in digits.toml, with the ablation
	@$(BIN)/python scripts/train_merged.py --config data_samples/digits.toml --ablate $(ARGS)

selftest: $(READY) ## prove with pictures and features that carry their row that batches are aligned
	@$(BIN)/python scripts/selftest.py $(ARGS)

test: $(READY) ## run the tests and the examples in docstrings
	$(BIN)/python -m pytest $(SHARED) --ignore=tests/docs/test_snippets.py $(ARGS)

test-backends: $(READY) ## fit, evaluate and predict for real on every backend, each in a process of its own
	@$(BIN)/python scripts/setup_backends.py --backends "$(BACKENDS)" --torch "$(TORCH)" --torch-pip="$(TORCH_PIP)" \
	    --tensorflow "$(TENSORFLOW)" --allow-cuda "$(ALLOW_CUDA)"
	@set -e; for backend in $(BACKENDS); do echo "== backend $$backend"; \
	    KERAS_BACKEND=$$backend $(BIN)/python -m pytest $(SHARED) tests/integration/backends $(ARGS); done

kill: $(READY) ## kill and resume many more runs than `make test` does; KILL_SEEDS says how many
	MTGEN_KILL_SEEDS=$(KILL_SEEDS) $(BIN)/python -m pytest tests/integration/test_kill.py $(ARGS)

fuzz: $(READY) ## fuzz targets long: 2,000 new inputs for each, half an hour; ARGS=tests/fuzz/test_state.py for one
	MTGEN_HYPOTHESIS=thorough $(BIN)/python -m pytest -o faulthandler_timeout=0 $(or $(ARGS),tests/fuzz)

# Some ten minutes on two cores; may run in the background.
.PHONY: soak
soak: $(READY) ## whole exit matrix, 500 signals, a Ctrl-C at every place, 10,000 epochs: ARGS=tests/integration/test_processes.py
	MTGEN_SOAK=1 $(BIN)/python -m pytest -o faulthandler_timeout=0 -rP \
	    $(or $(ARGS),tests/integration/test_processes.py tests/integration/test_interrupts.py tests/integration/test_exit.py)

docs-check: $(READY) ## run every snippet of README and docs/, follow every link inside them
	$(BIN)/python scripts/check_links.py
	$(BIN)/python -m pytest tests/docs/test_snippets.py $(ARGS)

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## ruff: write the format and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

layers: $(READY) ## imports point down only
	$(BIN)/lint-imports

check: lint types layers test docs-check ## all of the above that needs no further backend

bench: $(READY) ## measure against other loaders; ARGS='features --json features.json', then scripts/bench.py docs
	@$(BIN)/python scripts/bench.py run $(ARGS)

samples: $(READY) ## make data_samples anew and fail if a byte changed
	@$(BIN)/python scripts/make_data_samples.py --check $(ARGS)

build: $(READY) ## source archive and wheel into dist/
	$(BIN)/python -m build

clean: ## remove what make made, but for .venv and data_samples
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
