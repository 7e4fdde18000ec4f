# Every target sets up .venv on first use; nothing but Python >= 3.11 and make need be there.
PYTHON ?= python3
BIN := .venv/bin
PLUGINS := $(sort $(wildcard plugins/*))
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)

MINUTES ?= 5

.PHONY: demo test soak lint format bench dist clean

demo: .venv/ready ## train on Breakout from pixels for a few minutes; leaves a curve and a GIF
	$(BIN)/python examples/breakout_demo.py

test: .venv/ready ## all tests, the plugins' included
	$(BIN)/python -m pytest -n 2

soak: .venv/ready ## kill runs at random moments and resume them, for MINUTES=5 (or 120)
	$(BIN)/python tests/soak.py --minutes $(MINUTES)

lint: .venv/ready ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy rlhub_core $(foreach plugin,$(PLUGINS),$(plugin)/rlhub_$(notdir $(plugin))) tests benchmarks examples

format: .venv/ready ## make the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/bench ## speed and memory beside the libraries people use today; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/sb3_overhead.py
	$(BIN)/python benchmarks/dqn_speed.py
	$(BIN)/python benchmarks/policy_speed.py
	$(BIN)/python benchmarks/continuous_speed.py
	$(BIN)/python benchmarks/evolution_speed.py
	$(BIN)/python benchmarks/tabular_speed.py
	$(BIN)/python benchmarks/callback_costs.py
	$(BIN)/python benchmarks/memory.py

dist: .venv/ready ## a wheel and a source distribution of every package, in dist/
	$(BIN)/pip install --quiet --constraint constraints.txt build
	for project in . $(PLUGINS); do $(BIN)/python -m build --outdir dist $$project || exit 1; done

clean:
	rm -rf .venv dist build

# torch first and alone, so that nothing else chooses another build of it
.venv/ready: constraints.txt $(PROJECTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt \
		--editable '.[media,video]' $(foreach plugin,$(PLUGINS),--editable $(plugin)) \
		hatchling hypothesis mypy pytest pytest-xdist ruff sb3-contrib tensorboardX
	touch $@

.venv/bench: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt opencv-python-headless
	touch $@
