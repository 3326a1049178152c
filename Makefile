# make demo   the whole journey in a sandbox: no account, no Docker, no root
# make test   every test that needs neither Docker nor root nor an account
# Each target alone does all its set-up on a fresh machine; the second time it is quick.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
UV ?= uv
# The first Python on the PATH that is new enough; `make PYTHON=/path/to/python3 …` chooses another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)
MAJORS ?= 15 17 18
TESTS ?= tests
# Test files at a time: they wait for servers more than they work.
PARALLEL ?= 3
PYTEST_ARGS ?=
# Servers that live for a test are quickest in memory: there where it holds 4 GB or more.
ROOMY := $(shell [ -w /dev/shm ] && [ "$$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 ] && echo /dev/shm)
TEST_DIRECTORY ?= $(or $(TMPDIR),$(ROOMY),/tmp)
COMPILE := $(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 \
  --custom-compile-command 'make lock'

.PHONY: help demo test test-docker test-act bench lint types format lock postgres image clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

demo: MAJORS = 17
demo: $(VENV)/.installed postgres  ## The whole journey in a sandbox, as a user sees it.
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" demo/run.sh

test: $(VENV)/.installed postgres  ## Every test that needs neither Docker nor root nor an account.
	@TMPDIR=$(TEST_DIRECTORY) $(PY) -m pytest -n $(PARALLEL) --dist loadfile $(TESTS) --ignore=tests/docker --ignore=tests/act $(PYTEST_ARGS)

test-docker: $(VENV)/.installed postgres  ## The image: built, and run as GitHub's runner runs it (needs Docker).
	@.ci/with-docker $(PY) -m pytest tests/docker $(PYTEST_ARGS)

test-act: $(VENV)/.ci-installed $(VENV)/.installed postgres  ## Every example workflow, run by act (needs Docker).
	@.ci/with-docker $(PY) -m pytest tests/act $(PYTEST_ARGS)

lint: $(VENV)/.ci-installed $(VENV)/.installed  ## Every linter, over every kind of file here.
	@PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/$(VENV)/ci/bin:$$PATH" .ci/lint

types: $(VENV)/.installed  ## mypy --strict.
	@$(VENV)/bin/mypy

format: $(VENV)/.installed  ## Put the code into the one shape that `make lint` accepts.
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

bench: MAJORS = 17
bench: $(VENV)/.installed postgres  ## Our engine against its peers, into docs/ (a quick look: python -m bench.compare --size 100).
	@$(PY) -m bench.compare --json docs/bench.json $(BENCH_ARGS)
	@$(PY) -m bench.second --json docs/second.json $(SECOND_ARGS)
	@$(PY) -m bench.tiny --json docs/tiny.json $(TINY_ARGS)
	@$(PY) -m bench.page

image:  ## Build the image from this tree (needs Docker).
	docker build --tag supaneon-sync:local .

lock:  ## Renew the lock files (needs uv: pip install uv).
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml .ci/build.in --all-extras --constraint requirements.lock -o requirements-dev.lock
	$(COMPILE) .ci/ci.in -o requirements-ci.lock

postgres: $(VENV)/.installed
	@$(PY) -m supaneon_sync.sandbox.server fetch $(MAJORS)

clean:  ## Remove what the other targets made here.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- set-up -----------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@if ! $(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "supaneon-sync needs Python 3.11 or newer; here is $$($(or $(PYTHON),python3) --version 2>&1 || true)." >&2; \
	  echo "Install a newer one (Debian, Ubuntu: apt install python3.12 python3.12-venv; macOS: brew install python@3.12)," >&2; \
	  echo "or name it: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),test)" >&2; exit 1; fi
	@if ! $(PYTHON) -m venv $(VENV) >/dev/null 2>&1; then \
	  rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment here." >&2; \
	  echo "Debian and Ubuntu keep that in a package of its own: apt install python3-venv" >&2; exit 1; fi

$(VENV)/.installed: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) (once) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The linters have an environment of their own: their dependencies must not bend ours.
$(VENV)/.ci-installed: requirements-ci.lock | $(VENV)/bin/python
	@echo "Installing the linters (once) ..."
	@$(PY) -m venv $(VENV)/ci
	@$(VENV)/ci/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-ci.lock
	@touch $@
