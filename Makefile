# Two commands do everything: `make demo` and `make test`. Both first set up .venv here; nothing is installed outside this folder.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint types devices matrix clean

# The first of these that runs and is new enough; choose another with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
INSTALLED := $(VENV)/.installed

help:
	@echo "make demo      install, then turn the bundled picture into out/demo/scene.glb, scene.json and preview.png"
	@echo "make test      install, then run the tests"
	@echo "make install   only install everything that development needs, into $(VENV)"
	@echo "make lint      check style and format"
	@echo "make types     check the types"
	@echo "make devices   run every method and every training as CUDA and as MPS, both imitated"
	@echo "make matrix    run the tests under the oldest and the newest Python and torch that are promised"
	@echo "make clean     remove $(VENV) and everything that was made"

install: $(INSTALLED)

# $(call installed,WHAT): put WHAT of this folder into the environment, which is made when it is missing.
# pip of the system fills a bare environment (`venv --without-pip`), so Debian's separate python3-venv package is not needed.
# Modules are byte-compiled here because machines that set PYTHONDONTWRITEBYTECODE or PIP_NO_COMPILE would compile torch at every start.
define installed
	@test -n "$(PYTHON)" || { echo "maquette needs Python 3.10 or newer (on Debian: apt install python3 python3-pip)" >&2; exit 1; }
	@if $(PYTHON) -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))' 2>/dev/null; then \
		test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV); \
		pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		pip="$(BIN)/python -m pip"; \
	else \
		echo "$(PYTHON) has neither pip 22.3 nor venv (on Debian: apt install python3-pip, or python3-venv)" >&2; exit 1; \
	fi; \
	$$pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '$(1)'
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib src >/dev/null 2>&1 || true  # some packages carry files for other Pythons
	@touch $@
endef

# What making scenes needs, and what lets their objects come to rest.
$(RUNTIME): pyproject.toml constraints.txt
	@echo "Installing into $(VENV): 1.5 GB on disk, half of it PyTorch; a few minutes the first time."
	$(call installed,.[sim])
	@echo "Installed: $$($(BIN)/maquette --version)"

# With what the tests and all optional parts need.
$(INSTALLED): $(RUNTIME)
	@echo "Installing what the tests need: 0.8 GB more."
	$(call installed,.[dev])
	@# Kernels and the modules of the tests are compiled once here, not by each process of the tests at the same time.
	@$(BIN)/python -m pytest -m compiles >/dev/null 2>&1 || true

demo: $(RUNTIME)
	@$(BIN)/maquette demo -o out/demo

# One process per core and one thread each: small networks gain nothing from more threads, which get in each other's way.
test: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "some files are not formatted: run .venv/bin/ruff format ." >&2; exit 1; }

types: $(INSTALLED)
	@$(BIN)/mypy

devices: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 -m "slow or not slow" tests/test_devices.py tests/methods/test_devices.py tests/train/test_devices.py

matrix:
	@.ci/matrix

clean:
	@rm -rf $(VENV) out build dist .pytest_cache .ruff_cache
	@find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
