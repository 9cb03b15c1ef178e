# The words a newcomer types. Everything runs in .venv, made from requirements.lock by uv.
.PHONY: up test prove hunt bench lint lock docs clean
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

up: $(READY)
	@$(BIN)/tailrace-services up $(ARGS)

test: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/pytest $(ARGS)

prove: $(READY)
	@$(BIN)/tailrace-services prove $(ARGS)

hunt: $(READY)
	@$(BIN)/tailrace-services hunt $(ARGS)

bench: $(READY)
	@$(BIN)/python -m bench $(ARGS)

lint: $(READY)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/mypy && $(BIN)/lint-imports

# Hashed and without addresses, so that any index that serves the same files will do.
lock: $(READY)
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --no-emit-package tailrace --no-emit-package tailrace-services --all-extras --group dev \
	  pyproject.toml services/pyproject.toml -o requirements.lock

clean:
	@rm -rf .venv

$(READY): requirements.lock pyproject.toml services/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e . -e services uv
	@touch $@
