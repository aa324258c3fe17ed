# Two commands: `make lab` to learn, `make test` to check. Everything is installed in this folder, nothing outside it.

# The Python to build on: the first of these that is 3.11, 3.12 or 3.13, unless `make PYTHON=...` names one.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
# Written when .venv is complete. It names the Python and the folder: with another of them .venv is made from scratch.
STAMP := .venv/set-up-$(shell $(PYTHON) -c 'import os, sys, zlib; \
	print("%d.%d.%d" % sys.version_info[:3], zlib.crc32(os.getcwd().encode()), sep="-")' 2>/dev/null)
COURSE := .venv/bin/python -m stablediff_edu
# More flags for JupyterLab, for instance: make lab LAB_FLAGS="--no-browser --port 8899"
LAB_FLAGS ?=

.PHONY: help lab run notebooks test data doctor setup setup-test lint format units notebooks-offline lock

help:
	@echo "make lab        set up, and open JupyterLab at notebook 01"
	@echo "make run        run every notebook in order without a screen, into build/"
	@echo "make notebooks  run every notebook and store it in place, with its outputs"
	@echo "make test       set up, and run the whole test suite"
	@echo "make data       fetch the real data sets into data/"
	@echo "make doctor     say whether this machine can run the course, and what would fix it"
	@echo "make format     format the code and the notebooks"
	@echo "make lock       renew constraints.txt from pyproject.toml"
	@echo ""
	@echo "PYTHON=python3.12 chooses the Python; STABLEDIFF_PRESET=full runs the notebooks at the video's sizes."

lab: setup
	$(COURSE) lab -- $(LAB_FLAGS)

run: setup
	@$(COURSE) run --out build

notebooks: setup
	@$(COURSE) run --store

data: setup
	@$(COURSE) fetch all

doctor: setup
	@$(COURSE) doctor

test: setup-test
	@$(MAKE) --no-print-directory lint units notebooks-offline

setup: $(STAMP)-lab

setup-test: $(STAMP)-test

EXTRAS_lab := lab,fish,hub
EXTRAS_test := test
# A torch that fits stays; pip's own settings (PIP_*, pip.conf) hold as everywhere.
$(STAMP)-%: pyproject.toml constraints.txt
	@if ! $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then echo \
		"The course needs Python 3.11, 3.12 or 3.13: install one of these, or name it with make PYTHON=..." >&2; exit 2; fi
	@echo "Installing about 120 packages into .venv: 1.3 GB where torch is a CPU build, about 7 GB for CUDA ..."
	@test -e $(STAMP) || $(PYTHON) -m venv --clear .venv
	@touch $(STAMP)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[$(EXTRAS_$*)]"
	@touch $@ $(STAMP)-lab

lint:
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

format: setup-test
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

# JOBS processes with one thread each: on two cores this is faster than one process with two threads.
JOBS ?= 2
PYTEST := .venv/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
units:
	OMP_NUM_THREADS=1 $(PYTEST)

# The stored notebooks run once more, with the network cut and with synthetic data: what a newcomer has on a train.
# The last chapters take longest: they begin.
notebooks-offline:
	env -u STABLEDIFF_DATA STABLEDIFF_PRESET=quick OMP_NUM_THREADS=1 .venv/bin/python tests/offline.py \
		$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout=300 $(shell ls -r notebooks/*.ipynb)

LOCK := --universal --python-version 3.11 --no-emit-index-url --no-annotate pyproject.toml --extra test \
	--output-file constraints.txt
lock: setup
	.venv/bin/python -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/uv/bin/uv pip compile --quiet --custom-compile-command "make lock   (uv pip compile $(LOCK))" $(LOCK)
