# SPDX-License-Identifier: Apache-2.0
# Two commands: `make image TARGET=rpi4` builds a release, `make test` runs the tests.

PYTHON ?= python3
TARGET ?= rpi4
OUT ?= dist
VENV := .venv
BIN := $(VENV)/bin

.PHONY: image test check bench lock clean help

help:
	@echo "make image TARGET=rpi4   build a release of the demo gateway into dist/rpi4"
	@echo "make test                lint, types, import rules and all tests"
	@echo "make check               the same without the slow tests"
	@echo "make bench               print the benchmark tables"
	@echo "make lock                renew the Python and Debian locks"

image: $(VENV)/product
	$(BIN)/edgebuild --target $(TARGET) --out $(OUT)

test: $(VENV)/development
	$(BIN)/python -m tests.tools.everything

check: $(VENV)/development
	$(BIN)/python -m tests.tools.everything --fast

bench: $(VENV)/development
	PYTHONPATH=compiler:runtime:. $(BIN)/python -m benchmarks

# A stamp of the lock decides whether the environment is up to date.
$(VENV)/product: locks/python.txt pyproject.toml
	@echo "making the environment (about 1 GB, once)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgebuild needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --no-input --quiet --require-hashes -r locks/python.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/development: $(VENV)/product locks/python-dev.txt
	@echo "adding what the tests need"
	$(BIN)/pip install --disable-pip-version-check --no-input --quiet --require-hashes -r locks/python-dev.txt
	@touch $@

lock: $(VENV)/development
	$(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --output-file locks/python.txt locks/python.in
	$(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --output-file locks/python-dev.txt locks/python-dev.in
	$(BIN)/edgebuild lock

clean:
	rm -rf $(VENV) $(OUT)
