# Two commands matter: `make run` and `make test`. Each does all its set-up on a fresh clone. `make` alone lists them all.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Many tests wait for something rather than compute: one process more than there are cores.
SIDE_BY_SIDE := --numprocesses=$(shell echo $$(( $$(nproc) + 1 ))) --dist=worksteal
# What has every branch tested, by these alone: the engine, the model and the rules of ramps.
RULES := tests/unit/sdk/engine tests/unit/sdk/model tests/unit/server/ramps

.PHONY: help run demo test lint docs lock clean bench-inprocess bench-guard

help:
	@echo "make run     install, migrate and start the server on http://127.0.0.1:8080"
	@echo "             (RHEOSTAT_HOST, RHEOSTAT_PORT, RHEOSTAT_DATA_DIR: docs/reference/settings.md)"
	@echo "make demo    watch a ramp take back a change that hurts (under three minutes);"
	@echo "             DEMO=--harmless: the same ramp without a fault, to 100 %"
	@echo "make test    install what the tests need and run them all; TESTS=tests/unit runs a part"
	@echo "make lint    ruff, mypy --strict, import-linter"
	@echo "make bench-inprocess"
	@echo "             compare an evaluation with seven published SDKs (three minutes); ROUNDS=15"
	@echo "make bench-guard"
	@echo "             simulate what the guard has to bear (an hour and more); SHARE=0.1: a tenth of the runs"
	@echo "make docs    write the pages that are made from the code"
	@echo "make lock    pin the requirements again, with hashes"
	@echo "make clean   take away .venv and caches; the data in .rheostat stays"

# exec: a signal for make reaches the server, with no shell in between that would leave it behind.
run: .venv/run.stamp
	@exec $(BIN)/rheostat serve

demo: .venv/run.stamp
	@exec $(BIN)/rheostat demo $(DEMO)

test: .venv/test.stamp
	@scripts/need-test-programs
ifdef TESTS
	$(BIN)/python -m pytest $(TESTS)
else
	$(BIN)/python -m pytest $(RULES) $(SIDE_BY_SIDE) --cov --cov-report=term
	$(BIN)/python -m pytest tests $(addprefix --ignore=,$(RULES)) $(SIDE_BY_SIDE) -m "not alone"
	$(BIN)/python -m pytest tests -m alone
endif

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/run.stamp: requirements/run.txt pyproject.toml sdk/pyproject.toml scripts/make-venv
	@scripts/make-venv $(PYTHON) requirements/run.txt
	@touch $@

.venv/test.stamp: requirements/test.txt pyproject.toml sdk/pyproject.toml scripts/make-venv
	@scripts/make-venv $(PYTHON) requirements/test.txt
	@touch $@ .venv/run.stamp

bench-inprocess: .venv-bench/stamp
	@PYTHONPATH=sdk .venv-bench/bin/python -m loadtests.inprocess --rounds $(or $(ROUNDS),15)

.venv-bench/stamp: loadtests/requirements.txt loadtests/make-venv
	@loadtests/make-venv $(PYTHON)
	@touch $@

bench-guard: .venv/test.stamp
	@$(BIN)/python -m loadtests.guard --share $(or $(SHARE),1)

docs: .venv/run.stamp
	$(BIN)/python -m rheostat_server.cli.reference > docs/reference/cli.md
	$(BIN)/python -m rheostat_server.cli.ramp_states > docs/reference/ramp-states.md

lock:
	@scripts/lock-requirements

clean:
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
