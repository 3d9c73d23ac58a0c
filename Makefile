# Everything here needs Python 3.11+, make and PyPI only; `interop` and `bench` also need gcc, which `interop` installs.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Compiled once, not again by each of the hundred daemons that the tests start.
export PYTHONDONTWRITEBYTECODE =
OLDEST = twisted==24.11.0 pyserial==3.5 attrs==23.2.0 cattrs==24.1.0

.PHONY: run test test-deep test-trial test-oldest interop bench install-service uninstall-service clean

run: $(VENV)/run.stamp
	$(BIN)/twistd -n --pidfile= lumina --demo

test: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy
	LUMINA_EXPLORER_DEPTH=4 $(BIN)/pytest -n 2

# The explorers of the bus to a depth that takes minutes.
test-deep: $(VENV)/dev.stamp
	LUMINA_EXPLORER_DEPTH=6 $(BIN)/pytest -n 2 tests/bus

# The same tests by Twisted's own runner.
test-trial: $(VENV)/dev.stamp
	LUMINA_EXPLORER_DEPTH=3 $(BIN)/trial --temp-directory=$(VENV)/trial tests

# The same tests with the oldest of what setup.cfg allows.
test-oldest:
	$(MAKE) VENV=.venv-oldest .venv-oldest/dev.stamp
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check $(OLDEST)
	LUMINA_EXPLORER_DEPTH=3 .venv-oldest/bin/pytest -n 2 --deselect tests/test_packaging.py

# The tests that need programs of Debian's.
interop: $(VENV)/dev.stamp
	interop/install
	$(BIN)/pytest interop

# About ten minutes, then docs/figures.md shows the figures. BENCH="wire --seconds 5" measures a part, BENCH=--quick looks at all.
bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks.run $(BENCH)

# Debian and Raspberry Pi OS, as root; etc/install-service says which variables it heeds.
install-service:
	etc/install-service

uninstall-service:
	etc/install-service --remove

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Lumina needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/run.stamp: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
	touch $@ $(VENV)/run.stamp

$(VENV)/bench.stamp: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@

clean:
	rm -rf .venv .venv-oldest build dist *.egg-info benchmarks/bin .hypothesis .mypy_cache .pytest_cache .ruff_cache
