# `make help` lists what there is. PYTHON=python3.12 make install takes another Python.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= ../shared/data
MEMBERS := engines/pyproject.toml backend/pyproject.toml frontend/pyproject.toml monitoring/pyproject.toml
SERVER := engines/pyproject.toml monitoring/pyproject.toml backend/pyproject.toml
# One file of pins for every system and every Python from 3.11 on.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make pins"
HERE := --extra openvino --extra clips --extra convert --extra benchmark --extra triton
IMAGE := --extra openvino --extra clips --extra benchmark --extra postgres --extra triton
OURS := $(foreach name,engines monitoring backend frontend,--no-emit-package sightline-$(name))

.DEFAULT_GOAL := help
.PHONY: help install dev run test lint format build images-check pins torch bench bench-live bench-peers bench-triton dashboards rules ultralytics train-default eval-default

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## make .venv with the `sightline` command in it; at once when nothing changed
	@$(PYTHON) scripts/install.py

dev: ## the same, and what the tests and linters need
	@$(PYTHON) scripts/install.py --dev

run: install ## start Sightline (BACKEND_PORT=8000 FRONTEND_PORT=8501 move it)
	@$(BIN)/sightline up

test: dev ## run every test
	@status=0; $(BIN)/pytest -n 2 --dist loadfile -m "not browser" || status=1; \
	$(BIN)/pytest -m browser || status=1; exit $$status # alone: it wants both cores

lint: dev ## what CI checks before the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck startup.sh .ci/run .ci/servers
	$(BIN)/hadolint backend/Dockerfile frontend/Dockerfile deploy/triton/Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec \
		docker-compose.yml deploy/compose/*.yml deploy/images_check/override.yml
	@if command -v docker-compose >/dev/null; then docker-compose --env-file /dev/null config -q; \
	elif docker compose version >/dev/null 2>&1; then docker compose --env-file /dev/null config -q; fi

format: dev ## tidy the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

images-check: dev ## bring the compose file up for real, use it, break it (ARGS="--without grafana")
	$(BIN)/python -m deploy.images_check $(ARGS)

build: dev ## make the wheels, in dist/
	@for name in engines monitoring backend frontend; do \
		$(BIN)/uv build --quiet --no-sources --wheel --out-dir dist $$name || exit 1; done
	@ls dist/*.whl

bench: dev ## measure the server against what this machine can do (ARGS="--long" for the soak)
	$(BIN)/python -m benchmarks.serving $(ARGS)

bench-peers: dev ## measure other servers beside it, each in its own virtual environment
	$(BIN)/python -m benchmarks.bench_peers $(ARGS)

bench-triton: dev ## measure at a real Triton: our overhead, our load beside perf_analyzer's, a GPU
	$(BIN)/python -m benchmarks.triton $(ARGS)

bench-live: dev ## measure capture-to-box in a real headless Chromium, as a table
	$(BIN)/python -m benchmarks.live

dashboards: dev ## write Grafana's dashboards from monitoring/sightline_dashboards
	@$(BIN)/python -m sightline_dashboards

rules: dev ## write Kubernetes' copy of the alert rules
	@$(BIN)/python deploy/kubernetes/write_rules.py

train-default: dev torch ## train the model that ships (DATA=folder; goes on where it stopped)
	$(BIN)/python -m sightline_training train --data "$(DATA)"

eval-default: dev ## measure the model that ships (DATA=folder; EMPTY=your pictures without people)
	$(BIN)/python -m sightline_training evaluate --data "$(DATA)" $(if $(EMPTY),--empty "$(EMPTY)")

torch: dev # for training alone; pip, not uv: it finds the small CPU build where there is one
	@$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install torch==2.13.0

ultralytics: torch # AGPL-3.0: run in a child process alone, to export its checkpoints
	@$(BIN)/python -m pip show -q ultralytics 2>/dev/null || \
		$(BIN)/python -m pip install --no-deps ultralytics==8.4.190 ultralytics-thop==2.2.3

pins: dev ## write the pin files anew (UPGRADE=--upgrade takes newer versions)
	printf 'pip\nuv>=0.9,<1\n' | $(COMPILE) $(UPGRADE) -o requirements-tools.txt -
	$(COMPILE) $(UPGRADE) $(OURS) $(HERE) --extra onnx -o requirements.txt $(MEMBERS)
	$(COMPILE) $(UPGRADE) $(OURS) $(HERE) --extra onnx-gpu \
		-c requirements.txt -o requirements-gpu.txt $(MEMBERS)
	$(COMPILE) $(UPGRADE) -c requirements.txt -o requirements-dev.txt --group dev
	$(COMPILE) $(UPGRADE) $(OURS) $(IMAGE) --extra onnx \
		-c requirements.txt -o requirements-backend.txt $(SERVER)
	$(COMPILE) $(UPGRADE) $(OURS) $(IMAGE) --extra onnx-gpu \
		-c requirements-gpu.txt -o requirements-backend-gpu.txt $(SERVER)
	printf 'nncf>=2.14\n' | $(COMPILE) $(UPGRADE) -c requirements.txt -c requirements-gpu.txt \
		-o requirements-backend-convert.txt -
	printf 'cuda-bindings>=12.6\npolygraphy>=0.49\ntensorrt-cu13-bindings==10.14.1.48.*\n' | \
		$(COMPILE) $(UPGRADE) -c requirements-gpu.txt -o requirements-backend-tensorrt.txt -
	printf 'numpy<2\nopencv-python-headless<4.12\n' | \
		$(COMPILE) $(UPGRADE) -o deploy/triton/requirements.txt -
	$(COMPILE) $(UPGRADE) $(OURS) --extra clips -c requirements.txt -o requirements-frontend.txt \
		engines/pyproject.toml frontend/pyproject.toml
