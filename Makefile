# Two commands do everything on a fresh machine: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types slow vllm ray bench examples golden results bars study paper clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP)  ## create .venv and install the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cerolab needs Python 3.11 or newer; run make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,llm]'
	@touch $(STAMP)

demo: $(STAMP)  ## the main job, minutes: a quick regret sweep, then CERO against uniform in real training; one page on both
	$(BIN)/python -m sim.regret_sweep --quick
	$(BIN)/python -m llm.study --quick
	$(BIN)/python -m analysis.report results/sim/quick results/llm/demo-arithmetic-broad -o results/demo.html

test: $(STAMP)  ## the whole test suite but the slow tests
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)  ## ruff, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy, strict on the library
	$(BIN)/mypy

slow: $(STAMP)  ## all tests, slow ones too, with 2,000 random examples each: an hour
	$(BIN)/python -m pytest -m 'not gpu' --hypothesis-profile thorough

vllm:  ## vLLM on the CPU: separate environment, 4.3 GB
	.ci/vllm

ray: $(STAMP)  ## --engine ray on a real cluster of two workers: installs Ray into .venv, then its tests, minutes
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -m slow tests/test_ray.py

bench: $(STAMP)  ## time the hot paths: results/bench with figures, docs/benchmarks.md; ten minutes, on an idle machine
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m analysis.readme

examples: $(STAMP)  ## measure what docs/scale.md and docs/resolve.md say of precision and token budgets: three minutes
	mkdir -p results/examples
	$(BIN)/python examples/precision.py --record results/examples/precision.json
	$(BIN)/python examples/token_budget.py --seeds 20 --record results/examples/token_budget.json \
	    --lengths "lognormal(200, 0.5, 2)" "lognormal(200, 0.5, 1)" "lognormal(200, 0, 1)"
	$(BIN)/python -m analysis.readme

golden: $(STAMP)  ## regenerate the golden allocations (say why in the commit)
	$(BIN)/python -m tests.golden

study: $(STAMP)  ## complete the committed study of real training: about nine hours on two cores, resumable
	$(BIN)/python -m llm.study

results: $(STAMP)  ## complete and redraw the committed results: default sweep, paper scale, leaderboard
	$(BIN)/python -m sim.regret_sweep
	$(BIN)/python -m sim.paper_scale
	$(BIN)/python -m sim.leaderboard

bars: $(STAMP)  ## complete the committed runs behind the README's table of what Resolve was to reach
	for rounds in 50 500; do $(BIN)/python -m sim.leaderboard --name bars_K$$rounds --num-rounds $$rounds \
	    --allocators cero resolve --scenarios "beta(1, 1)" "beta(0.5, 0.5)" "beta(0.3, 1)" "beta(2, 2)" \
	    "0.4*beta(1, 1) + 0.3*point(0) + 0.3*point(1)" || exit 1; done

paper: $(STAMP)  ## redraw paper_figs, and the generated numbers of README.md and docs, from the committed records
	$(BIN)/python -m analysis.paper
	$(BIN)/python -m analysis.readme

clean:  ## remove .venv and caches
	rm -rf $(VENV) .venv-vllm .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
