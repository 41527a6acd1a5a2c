# Everything a person types: `make run`, `make test`, `make check`. Needs Python 3.11 or later, and nothing else.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check format chaos fuzz bench clean

run: .venv/.runs
	@if [ -z "$$CRT_HEARTBEAT_LOOP_ENABLED" ]; then \
		echo "The heartbeat loop is off by default; make run turns it on (CRT_HEARTBEAT_LOOP_ENABLED=false keeps it off)."; \
	fi
	@CRT_HEARTBEAT_LOOP_ENABLED="$${CRT_HEARTBEAT_LOOP_ENABLED:-true}" exec $(BIN)/ledger serve

test: .venv/.tests
	$(BIN)/pytest

check: .venv/.tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest

format: .venv/.tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ledger needs Python 3.11 or later: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'

.venv/.runs: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[postgres]'
	@touch $@

.venv/.tests: .venv/.runs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev
	@touch $@

chaos: .venv/.tests
	$(BIN)/python -m tests.chaos.kill --kills 200
	$(BIN)/python -m tests.chaos.crowd --threads 100
	$(BIN)/python -m tests.chaos.crowd --threads 100 --postgres
	$(BIN)/python -m tests.chaos.database_outage
	$(BIN)/python -m tests.chaos.readers
	$(BIN)/python -m tests.chaos.readers --postgres

fuzz: .venv/.tests .venv-fuzz/.installed
	$(BIN)/python -m tests.chaos.fuzz

.venv-fuzz/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --group fuzz
	@touch $@

bench: .venv/.tests
	$(BIN)/python benchmarks/claims.py
	$(BIN)/python benchmarks/idle.py
	$(BIN)/python benchmarks/history.py
	$(BIN)/python benchmarks/simulate.py
	$(BIN)/python benchmarks/outage.py
	$(BIN)/python -m benchmarks.stream

clean:
	rm -rf .venv .venv-fuzz
