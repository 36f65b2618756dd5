# The two commands of the README are `make demo` and `make test`; `make check` is for every few minutes.
SHELL := /bin/sh
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 3
BIN := .venv/bin
INPUTS := pyproject.toml constraints.txt scripts/install.sh scripts/servers.sh

.PHONY: demo test check bench clean

demo: .venv/.demo  ## Retune a model in a real Airflow, end to end
	$(BIN)/python scripts/demo.py

test: .venv/.test  ## All tests
	$(BIN)/python -m pytest

check: .venv/.test  ## Format, lint, types, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not slow"

bench: .venv/.test  ## Print the figures of the documentation
	$(BIN)/python -m benchmarks

clean:  ## Remove what the other targets made
	rm -rf .venv .servers .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

.venv/.demo: $(INPUTS)
	PYTHON=$${PYTHON:-python3} scripts/install.sh airflow,tensorflow-cpu,sklearn
	@touch $@

.venv/.test: $(INPUTS)
	PYTHON=$${PYTHON:-python3} scripts/install.sh airflow,tensorflow-cpu,sklearn,tensorboard,gcs,s3,azure dev
	scripts/servers.sh
	@touch $@ .venv/.demo
