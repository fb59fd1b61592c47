# Everything a person or CI does with this repository. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
KAFKA := $(BIN)/python deploy/kafka/kafka.py
# The environment is current when this file exists: its name is made of what it was built from.
STAMP := .venv/.installed-$(shell cat requirements/dev.txt pyproject.toml | cksum | cut -d' ' -f1)
BENCH_STAMP := .venv-bench/.installed-$(shell cksum < requirements/bench.txt | cut -d' ' -f1)
UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header

.PHONY: help install compile uncompile java demo test lint format bench kafka-up kafka-down schemas \
	lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

install: $(STAMP) compile ## make .venv with the locked dependencies and this project

$(STAMP): requirements/dev.txt pyproject.toml
	@python="$$(bash deploy/machine.sh python)"; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear .venv
	@echo "installing the locked dependencies into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@bash deploy/machine.sh compiler $(BIN)/python
	@rm -f .venv/.installed-*; touch $@

compile: $(STAMP) ## make extension modules of the hot ones, where they have changed
	@$(BIN)/python deploy/compile.py

uncompile: ## remove them: everything runs from source until they are compiled again
	@$(BIN)/python deploy/compile.py --remove

# The engines compared with pin other versions of shared libraries: they live apart.
$(BENCH_STAMP): requirements/bench.txt | $(STAMP)
	@$(BIN)/python -m venv --clear .venv-bench
	@echo "installing the engines to compare with into .venv-bench"
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

java:
	@bash deploy/machine.sh java

demo: compile ## everything at once on this machine: a simulated audience, workers, live signals
	@$(BIN)/streamapp demo $(ARGS)

# The brokers of tests live for minutes: what Java would take to optimise them does not pay.
test: export JDK_JAVA_OPTIONS := -XX:TieredStopAtLevel=1 $(JDK_JAVA_OPTIONS)
test: compile java ## all tests, those on a real Kafka included (ARGS=… goes to pytest)
	@run=deploy/kafka/.run/test-$$$$; \
	trap '$(KAFKA) down --run-dir '$$run EXIT; trap 'exit 130' INT TERM; \
	export STREAMAPP_TEST_BOOTSTRAP; STREAMAPP_TEST_BOOTSTRAP="$$($(KAFKA) up --run-dir $$run)"; \
	$(if $(strip $(ARGS)),$(BIN)/pytest $(ARGS),$(BIN)/python deploy/test.py)

lint: $(STAMP) ## style, types and import rules, as CI has them
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## bring the code into its format
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: compile $(BENCH_STAMP) java ## measure on a real Kafka: against other engines, and the roles on mixed traffic
	@$(BIN)/python -m tests.bench $(ARGS)

kafka-up: $(STAMP) java ## start a local Kafka and say where it listens
	@$(KAFKA) up

kafka-down: $(STAMP) ## end it and remove its data
	@$(KAFKA) down

schemas: $(STAMP) ## write topics/schemas/ anew from the message types
	@$(BIN)/streamapp topics schemas --write

lock: $(STAMP) ## pin the dependencies anew, with hashes (ARGS=--upgrade for newer versions)
	@$(UV) $(ARGS) pyproject.toml -o requirements/lock.txt
	@$(UV) $(ARGS) pyproject.toml --extra dev -c requirements/lock.txt -o requirements/dev.txt
	@$(UV) $(ARGS) requirements/bench.in -o requirements/bench.txt

clean: ## end local brokers; remove environments, caches, jars and builds
	@for run in deploy/kafka/.run/*/; do \
		[ ! -d "$$run" ] || python3 deploy/kafka/kafka.py down --run-dir "$$run"; done
	@rm -rf .venv .venv-bench build dist out deploy/kafka/.libs deploy/kafka/.run \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -f streamapp/compiled.json; find streamapp -name '*.so' -delete
	@find streamapp tests deploy -name __pycache__ -type d -prune -exec rm -rf {} +
