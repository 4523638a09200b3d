# Short commands for the loop of daily work; `.ci/run` is what must pass before a change goes in.
# PYTHON is an interpreter with the package and its test extra installed.
PYTHON ?= python
N ?= 500
GROUPS ?=

.PHONY: check test clients phoenix sim study faults learning calibration bench

check: ## formatting, lint and types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

test: ## every test
	$(PYTHON) -m pytest -q

clients: ## more than CI does: clients of other vendors and frameworks, in environments of their own; GROUPS chooses
	$(PYTHON) -m tests.client_zoo.run --thorough --environments .clients $(GROUPS)

phoenix: ## spans written to a real trace store and read back; installs 855 MB beside us, two minutes
	$(PYTHON) -m venv .phoenix
	.phoenix/bin/pip install --quiet --no-compile --only-binary :all: --requirement tests/telemetry/phoenix.txt
	PHOENIX=.phoenix/bin/phoenix $(PYTHON) -m pytest -q tests/telemetry/test_phoenix.py

sim: ## N random worlds in simulated time; a failing one prints its seed
	$(PYTHON) -m sidecar.simulate.swarm --worlds $(N)

study: ## docs/resilience.md anew (after `make faults`): the engine beside baselines, a few minutes
	$(PYTHON) -m sidecar.simulate.study --write docs/resilience.md

faults: ## docs/faults.md anew: the fault catalogue with its figures, a few minutes
	$(PYTHON) -m sidecar.simulate.faults --write docs/faults.md

learning: ## the figures and curves of docs/adaptive.md anew, some minutes
	$(PYTHON) -m sidecar.simulate.learning --write docs/adaptive.md

calibration: ## the figures of docs/constraints.md anew, a few minutes
	$(PYTHON) -m sidecar.simulate.calibration --write docs/constraints.md

bench: ## docs/performance.md anew: beside the peers that `python -m bench install` fetches, half an hour
	$(PYTHON) -m bench run
	$(PYTHON) -m bench report
