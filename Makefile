# The two commands of the README are `make demo` and `make test`; `make check` is for every few minutes.
SHELL := /bin/sh
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Tests run in two processes: small matrices gain nothing from threads that take turns on the same cores.
export OPENBLAS_NUM_THREADS ?= 1
BIN := .venv/bin
INPUTS := pyproject.toml constraints.txt constraints-airflow-3.1.txt $(wildcard scripts/*.sh)

.PHONY: demo up test check bench clean

demo: .venv/.demo  ## Retune a model in a real Airflow, end to end
	$(BIN)/python scripts/demo.py

up: .venv/.demo  ## Airflow with its page and the example DAGs, until it is interrupted
	$(BIN)/python scripts/up.py

test: .venv/.test  ## All tests
	$(BIN)/python -m pytest -n 2 --max-worker-restart 0 --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone

check: .venv/.test  ## Format, lint, types, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --max-worker-restart 0 --no-loadscope-reorder -m "not slow"

bench: .venv/.test  ## Print the figures of the documentation
	$(BIN)/python -m benchmarks

clean:  ## Remove what the other targets made
	rm -rf .venv .venv-airflow-3.1 .servers .demo .airflow .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

.venv/.demo: $(INPUTS)
	PYTHON=$${PYTHON:-python3} scripts/install.sh airflow,tensorflow-cpu,sklearn,docker,kubernetes
	@touch $@

.venv/.test: $(INPUTS)
	PYTHON=$${PYTHON:-python3} scripts/install.sh airflow,tensorflow-cpu,sklearn,tensorboard,gcs,s3,azure,docker,kubernetes dev
	scripts/install_oldest.sh
	scripts/servers.sh
	@touch $@ .venv/.demo
