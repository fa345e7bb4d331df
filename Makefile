# Everything a developer or CI runs. Needs only Python >= 3.10 and make; creates the rest in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
READY := $(VENV)/.ready
REAL := $(VENV)/.real
RAYS := $(VENV)/.ray
MODEL := .cache/smollm2/.built
DOCS := .venv-docs
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test bubblewrap test-kernels test-lowest test-oldest test-real test-cluster test-slurm test-ray test-netns test-browser check docs format clean

demo: $(CORE)  ## two tiny language models with half of a problem each: one alone, the pair, and what talking changed
	$(BIN)/coral eval sally_anne --task.split_information true --limit 200 --protocol cot --output runs/demo-alone
	$(BIN)/coral eval sally_anne --task.split_information true --limit 200 --output runs/demo-pair
	$(BIN)/coral compare runs/demo-alone runs/demo-pair
	$(BIN)/coral show runs/demo-pair --only changed --read 1

test: $(READY)  ## all tests, in random order, on all cores
	$(BIN)/pytest -q -n auto

bubblewrap:  ## the jail for programs, installed where root and apt are there; without it its tests are skipped
	command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		{ apt-get install -y -qq bubblewrap || { apt-get update -qq && apt-get install -y -qq bubblewrap; }; } >/dev/null; } || \
		echo "LEFT OUT: the tests of the jail, which need bubblewrap: install it by your package manager" >&2

# OpenBLAS picks its kernels by the processor, and kernels round differently. A kernel runs only where the
# processor has its instructions, so the widest one is tried only where it is there.
KERNELS := Haswell Nehalem $(shell grep -qsw avx512f /proc/cpuinfo && echo SkylakeX)

test-kernels: $(READY)  ## the embedded engine's tests with the arithmetic of other processors
	for kernel in $(KERNELS); do \
		echo "kernel: $$kernel"; OPENBLAS_CORETYPE=$$kernel $(BIN)/pytest -q -n auto tests/engine || exit 1; \
	done

# The floors of pyproject.toml, installed: first what needs no training libraries, with all tests but theirs, then
# everything. uv tells the lowest versions, pip installs them. They have wheels for Python 3.10 and 3.11.
LOWEST := .venv-lowest
LOW := $(LOWEST)/bin
TRAINING := tests/training tests/recipes tests/assets tests/engine tests/improvement

test-lowest:  ## the tests with the lowest version of every dependency, in a venv of its own
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOW)/python -m pip install --quiet --disable-pip-version-check uv
	set -e; for extra in test dev; do \
		$(LOW)/uv pip compile --quiet --resolution lowest-direct --python $(LOW)/python --extra $$extra \
			pyproject.toml --output-file $(LOWEST)/$$extra.txt; \
		$(LOW)/python -m pip install --quiet --disable-pip-version-check --constraint $(LOWEST)/$$extra.txt -e ".[$$extra]"; \
		$(LOW)/pytest -q -n auto $$([ $$extra = test ] || echo $(TRAINING)); \
	done

# The oldest Python that is supported, where there is one: what newer ones take it may not.
OLDEST := .venv-oldest
OLD_PYTHON := $(firstword $(foreach one,python3.10 $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python3.10),\
	$(shell $(one) -c "print('$(one)')" 2>/dev/null)))
TESTS ?= tests

test-oldest:  ## the tests that need no training libraries on Python 3.10, in a venv of its own; TESTS=... names some
	if [ -z "$(OLD_PYTHON)" ]; then echo "LEFT OUT: make test-oldest: there is no Python 3.10" >&2; exit 0; fi; \
	test -e $(OLDEST)/.ready -a $(OLDEST)/.ready -nt pyproject.toml || { $(OLD_PYTHON) -m venv --clear $(OLDEST) && \
		$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]' && touch $(OLDEST)/.ready; } || \
		{ echo "LEFT OUT: make test-oldest: pip cannot install what the tests need on Python 3.10" >&2; exit 0; }; \
	$(OLDEST)/bin/pytest -q -n auto $(TESTS) $(addprefix --ignore=,$(TRAINING))

test-real: $(REAL) $(MODEL)  ## a real language model behind llama.cpp's server and in Coral's own engine
	$(BIN)/pytest -q -n 2 --dist loadscope -m real tests/real

test-cluster: $(READY)  ## the next three, with what they need; what this machine cannot have is said and left out
	sets=$$(scripts/cluster_sets.sh); \
	if $(MAKE) $(RAYS); then sets="$$sets test-ray"; \
	else echo "LEFT OUT: make test-ray: pip cannot install Ray for this Python" >&2; fi; \
	for one in $$sets; do $(MAKE) $$one || exit 1; done

test-slurm: $(READY)  ## pools of replicas on a real SLURM of two virtual nodes; skipped where it is not installed
	$(BIN)/pytest -q -n 2 -m slurm tests/slurm

test-ray: $(READY) $(RAYS)  ## pools of replicas on a real Ray cluster of two nodes on loopback
	$(BIN)/pytest -q -m ray tests/on_ray

test-browser: $(READY)  ## the pages in a real browser; Chromium is installed where root and apt are there
	$(PIP) -e '.[browser]'
	for one in chromium google-chrome; do command -v $$one && exit 0; done; \
		[ "$$(id -u)" = 0 ] && apt-get install -y -qq chromium >/dev/null || echo "LEFT OUT: there is no Chromium" >&2
	$(BIN)/pytest -q -m browser tests/viewer tests/people

test-netns: $(READY)  ## links that break: each host in a network of its own; needs root and iproute2
	$(BIN)/pytest -q -m netns tests/cluster tests/slurm

check: $(READY)  ## lint, format check, strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs:  ## the documentation as a site in build/site, in a venv of its own: links are checked, the notebook is run
	test -e $(DOCS)/.ready -a $(DOCS)/.ready -nt pyproject.toml || { $(PYTHON) -m venv $(DOCS) && \
		$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' && touch $(DOCS)/.ready; }
	$(DOCS)/bin/python scripts/docs_site.py

format: $(READY)  ## fix what can be fixed by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(CORE): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(READY): $(CORE)
	$(PIP) -e '.[dev]'
	$(PIP) -e '.[reasoning-gym]' || echo "LEFT OUT: the tests of reasoning_gym, which needs a C compiler" >&2
	touch $@

$(REAL): $(READY)
	$(PIP) -e '.[real]'
	touch $@

$(RAYS): $(READY)
	$(PIP) -e '.[ray]'
	touch $@

$(MODEL): scripts/smollm2.py | $(REAL)
	$(BIN)/python scripts/smollm2.py $(@D)
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) $(DOCS) build
