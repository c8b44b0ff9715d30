# The commands of the README. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Extra words for one pytest run: make test ARGS='-k lattice -x'
ARGS ?=
WORKERS ?= 2
# Tests that start servers, Ray or whole jobs wait for much of their time: more files of them than there are cores run side
# by side, the tests of a file one after another, since what they share is whole jobs.
SLOW_WORKERS ?= 3
# Of `make fuzz`; a shell has a SECONDS of its own, which is not exported.
SECONDS_EACH = $(if $(filter command line environment,$(origin SECONDS)),$(SECONDS),600)
# pytest's exit code 5, no test collected, is right when ARGS chose tests of the other run alone.
NONE_CHOSEN = { rc=$$?; test $$rc -eq 5 -a -n "$(ARGS)" || exit $$rc; }

.PHONY: help env demo cluster test test-extras check format bench soak long fuzz clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

env: $(STAMP) ## make the environment in .venv

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is older than 3.11: name a newer one, e.g. make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }

$(STAMP): pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo "making the environment in $(VENV) (torch and ray: some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## on this machine: an S3 server, an archive on Ray, then pictures of every task beside plain methods
	@$(BIN)/python -m jobs.demo

cluster: $(STAMP) ## a Ray cluster of three nodes on this machine, until Ctrl-C; says how to submit to it
	@$(BIN)/python -m tools.ray_cluster

test: $(STAMP) ## run the tests, but for those of `long` and `test-extras`
	$(BIN)/python -m pytest -n $(WORKERS) -m "not integration and not e2e" $(ARGS) || $(NONE_CHOSEN)
	$(BIN)/python -m pytest -n $(SLOW_WORKERS) --dist loadfile --no-loadscope-reorder -m "integration or e2e" $(ARGS) || $(NONE_CHOSEN)

# Networks of other packages need torchvision, and that needs the torch it was built with: not the one of `make test`.
EXTRAS := .venv-extras

$(EXTRAS)/.installed: pyproject.toml constraints-extras.txt
	@$(CHECK_PYTHON)
	@echo "making the environment in $(EXTRAS) (torch and torchvision: some GB)"
	@test -x $(EXTRAS)/bin/python || $(PYTHON) -m venv $(EXTRAS)
	@$(EXTRAS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-extras.txt \
		-e '.[smp,spandrel]' pytest pytest-timeout hypothesis
	@touch $@

test-extras: $(EXTRAS)/.installed ## test the extras smp and spandrel, in an environment of their own (some GB)
	$(EXTRAS)/bin/python tools/check_licences.py
	$(EXTRAS)/bin/python -m pytest tests/extras $(ARGS)

check: $(STAMP) ## format, lint, types, direction of imports, licences
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_licences.py

format: $(STAMP) ## rewrite the sources as `check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## measure efficiency, memory, overhead and training; prints ratios
	@$(BIN)/python -m bench

# So many kills of drivers, and as many of workers.
N ?= 50
SEED ?= 0

soak: $(STAMP) ## kill -9 at N=50 random moments (SEED=0), then at each call to the store
	@PYTHONPATH=.:tests $(BIN)/python tests/soak.py --kills $(N) --seed $(SEED)
	ENCDEC_KILL_POINTS=0 $(BIN)/python -m pytest tests/e2e/test_kill_points.py

long: $(STAMP) ## tests that take minutes: jobs and a training on clusters of several nodes, benches in small
	ENCDEC_LONG=1 $(BIN)/python -m pytest -s tests/train/running/test_elastic.py tests/cluster/test_local_cluster.py \
		tests/cluster/test_local_training.py tests/nightly/test_night_on_ray.py tests/bench/test_smoke.py

fuzz: $(STAMP) ## damage files for SECONDS (600) and read them; keeps what crashes, hangs or differs in fuzz-output
	@PYTHONPATH=.:tests $(BIN)/python -m fuzz --seconds $(SECONDS_EACH) $(if $(SEED),--seed $(SEED))

clean: ## remove the environment, caches and what demo and bench wrote
	rm -rf $(VENV) $(EXTRAS) build dist demo-output bench-output fuzz-output .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
