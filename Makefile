# `make demo` and `make test` work on a machine that has only Python 3.11 or newer and make.
# PYTHON=... picks another Python; PIP_ARGS=... goes to every `pip install` (another index, a proxy).

VENV := .venv
BIN := $(VENV)/bin
PIP_ARGS ?=
REQUIREMENTS := pyproject.toml requirements/constraints.txt

EXTRAS := benchmark,chgnet,dev,diep,docs,jarvis,matgl,optimade,postgresql,sevennet,train,workflows

PYTHON_IS_NEW := -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(firstword $(foreach p,python3.11 python3 python3.12 python3.13,$(shell $(p) $(PYTHON_IS_NEW) && echo $(p))))

# The pinned torch is the same for every extra, so no later install replaces it.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check \
	--constraint requirements/constraints.txt $(PIP_ARGS)

.PHONY: help demo test check slow all-extras benchmark benchmark-quick docs notebooks clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo       design 16 perovskites with a band gap of 2.5 eV, stable and at a minimum; results in runs/demo'
	@echo 'make test       run the tests (without the slow ones)'
	@echo 'make check      lint, types, layers and the examples of the docs'
	@echo 'make slow       run the slow tests'
	@echo 'make all-extras install all extras (but dft), for which tests are skipped without them'
	@echo 'make docs       build the documentation site in build/site; a warning is an error'
	@echo 'make notebooks  run the notebooks of the site and keep what they show'
	@echo 'make benchmark  the tables of the paper beside rivals, many hours; make benchmark-quick: minutes'
	@echo 'make clean      remove caches and builds (keeps .venv and runs)'

$(BIN)/python:
	@$(or $(PYTHON),false) $(PYTHON_IS_NEW) || { \
		echo 'smoacs needs Python 3.11 or newer: install it, or name one: make PYTHON=/path/to/python3.11' >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

# Three stamps: what users need, that plus what developers need, and that plus the site.
$(VENV)/.installed: $(REQUIREMENTS) | $(BIN)/python
	@echo 'Installing smoacs and what it needs (some minutes)'
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(REQUIREMENTS) | $(BIN)/python
	@echo 'Installing smoacs with what its tests need (some minutes)'
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-docs: $(REQUIREMENTS) | $(BIN)/python
	@echo 'Installing smoacs with what its tests and its site need (some minutes)'
	$(PIP_INSTALL) --editable '.[dev,docs]'
	@touch $(VENV)/.installed $(VENV)/.installed-dev $@

# All of the extras that pip can install by itself (dft is built from source, see docs/dft.md), in one go.
$(VENV)/.installed-all: $(REQUIREMENTS) | $(BIN)/python
	@echo 'Installing smoacs with all of its extras (some minutes)'
	$(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	@touch $(VENV)/.installed $(VENV)/.installed-dev $(VENV)/.installed-docs $@

# `make .venv` makes the one with all that developers need.
.PHONY: $(VENV)
$(VENV): $(VENV)/.installed-dev

demo: $(VENV)/.installed
	@mkdir -p runs
	$(BIN)/smoacs design perovskite --target "band_gap = 2.5 ± 0.2" --target "formation_energy < -0.5" --target "0.8 <= tolerance_factor <= 1.0" --target "energy_above_hull < 0.05" -n 16 --seed 0 --out runs/demo --force

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_docs.py

all-extras: $(VENV)/.installed-all

slow: $(VENV)/.installed-docs
	$(BIN)/python -m pytest -m slow

# --fresh-env reads every page anew: what a page shows of the code may have changed without the page.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --fresh-env --quiet \
		--doctree-dir build/doctrees docs build/site
	$(BIN)/python scripts/dead_links.py build/site
	@echo 'open build/site/index.html'

notebooks: $(VENV)/.installed-docs
	$(BIN)/python scripts/run_notebooks.py

# DATA=... is the folder of the tables whose crystals serve as templates; rows without theirs stay out.
# SHARE=0.25 takes a quarter of the paper's calls, SEEDS=1 one seed, MINUTES=40 what fits into that time.
benchmark: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.paper --limit-s 7200 $(if $(DATA),--data $(DATA)) \
		$(if $(SHARE),--budget-share $(SHARE)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(MINUTES),--minutes $(MINUTES))
	$(BIN)/python -m benchmarks.speed --out benchmarks/results/speed.json
	$(BIN)/python -m benchmarks.paper.document

benchmark-quick: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.paper --quick
	$(BIN)/python -m benchmarks.paper.document --results runs/benchmark-quick --out runs/benchmark-quick/page/benchmarks.md

clean:
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
