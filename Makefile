# Two commands: `make lab` to learn, `make test` to check. Everything is installed in this folder, nothing outside it.

# The Python to build on: the first of these that is 3.11, 3.12 or 3.13, unless `make PYTHON=...` names one.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
COURSE := .venv/bin/python -m stablediff_edu
# As an address, so that it also stands in the link that JupyterLab prints where it can open no browser.
FIRST := --LabApp.default_url=/lab/tree/01_convolution_kernels.ipynb
# More flags for JupyterLab, for instance: make lab LAB_FLAGS="--no-browser --port 8899"
LAB_FLAGS ?=
# JupyterLab refuses to run as root (in a container, mostly) unless it is told that this is meant.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

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
	.venv/bin/python -m jupyterlab --ServerApp.root_dir=notebooks $(FIRST) $(AS_ROOT) $(LAB_FLAGS)

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

setup:
	@$(call setup)

setup-test:
	@$(call setup,--test)

define setup
	if [ -z "$(PYTHON)" ]; then \
		echo "The course needs Python 3.11, 3.12 or 3.13, and none was found here: install one, or name it with make PYTHON=..." >&2; exit 2; \
	fi; $(PYTHON) stablediff_edu/cli/setup.py $(1)
endef

lint:
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .

format: setup-test
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

units:
	.venv/bin/python -m pytest

# The stored notebooks run once more, with the network cut and with drawn data: what a newcomer has on a train.
notebooks-offline:
	env -u STABLEDIFF_DATA STABLEDIFF_PRESET=quick .venv/bin/python tests/offline.py \
		.venv/bin/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=180 notebooks

LOCK := --universal --python-version 3.11 --no-emit-index-url --no-annotate pyproject.toml --extra test \
	--output-file constraints.txt
lock: setup
	.venv/bin/python -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/uv/bin/uv pip compile --quiet --custom-compile-command "make lock   (uv pip compile $(LOCK))" $(LOCK)
