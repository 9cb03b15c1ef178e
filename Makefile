# The words a newcomer types. Everything runs in .venv, made from requirements.lock by uv; ARGS goes to the command.
.PHONY: help up test prove hunt load bench lint lock clean
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv/.peers

help:
	@echo "make up      start everything and serve on 127.0.0.1:8000 (Ctrl-C stops it)"
	@echo "make test    lint, types, import rules and every test"
	@echo "make prove   measure the services as they were beside the services as they are"
	@echo "make hunt    look for stale answers while servers are killed"
	@echo "make load    put load on what make up serves, by k6: make load SUITE=workspace"
	@echo "make bench   measure layers, limits, caches and stacks beside other packages"
	@echo "make lint    format and fix"
	@echo 'make up ARGS="--scale medium --port 8001"   options; --help lists them'

# Killing make ends what it started.
up: export TAILRACE_UP_WITH_PARENT = 1
up: $(READY)
	@$(BIN)/tailrace-services up $(ARGS)

# ARGS="-n 2 --no-loadscope-reorder" takes half as long: two processes, each with servers of its own, a folder in one.
test: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/pytest $(ARGS)

prove: $(READY)
	@$(BIN)/tailrace-services prove $(ARGS)

hunt: $(READY)
	@$(BIN)/tailrace-services hunt $(ARGS)

load: $(READY)
	@$(BIN)/python -m load $(SUITE) $(ARGS)

bench: $(PEERS)
	@$(BIN)/python -m bench $(ARGS)

lint: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

# Hashed and without addresses, so that any index that serves the same files will do.
lock: $(READY)
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --no-emit-package tailrace --no-emit-package tailrace-services --all-extras --group dev \
	  pyproject.toml services/pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --no-emit-package tailrace --constraints requirements.lock --group bench -o bench/requirements.lock

# Beside the environment's own packages, which stay as they are; installed anew whenever those are.
$(PEERS): $(READY) bench/requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r bench/requirements.lock
	@touch $@

clean:
	@rm -rf .venv

# A name of its own for each step, so that an interrupted one is done again and a finished one is not.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "make: Python 3.11 or later is needed; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "making the environment in .venv (once)"
	@rm -rf .venv && $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "make: the venv module of $(PYTHON) does not work; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(BIN)/uv: | $(BIN)/python
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv

# uv shows what it downloads and installs.
$(READY): requirements.lock pyproject.toml services/pyproject.toml | $(BIN)/uv
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e . -e services uv
	@touch $@
