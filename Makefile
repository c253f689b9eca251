# Everything a newcomer needs: `make run` and `make test` do all set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One environment, filled in two steps: what running needs, and on top of it all that the other targets need.
RUNS := $(VENV)/.installed-run
INSTALLED := $(VENV)/.installed-test

# What `make unit` leaves out of `make test`: processes, browsers, waiting, and whole matrices.
UNIT_MARKS := not heavy and not system and not fuzz
NO_UNIT := system deploy cli privacy audit outbound test_bench.py sandbox/test_main.py \
    $(patsubst tests/%,%,$(wildcard tests/*/test_worker.py)) \
    outbox/test_attempts.py outbox/test_state_machine.py $(addprefix notifications/test_,$(addsuffix .py,idempotency open_answers)) \
    outbox/test_wake.py store/test_cluster.py store/test_multiplexed.py store/test_time_slices.py \
    $(addprefix api/test_,$(addsuffix .py,audited bad_input callback_only demo document_policy drop_in every_key \
        hot_path openapi privacy prometheus reply_budget revocation unknown_keys who_reads))

# The tests of the modules that decide about privacy, as in pyproject.toml for mutmut, without processes, and
# without generated tests: those reach other branches in each run.
EXAMPLES := not heavy and not system and not hypothesis
DECIDING := tests/api/test_guards.py tests/audit/test_signing.py tests/audit/test_verdicts.py \
    tests/audit/test_verify.py tests/auth/test_callers.py tests/auth/test_claims.py tests/auth/test_tokens.py \
    tests/notifications/test_policy.py tests/store/test_envelope.py tests/store/test_header.py \
    tests/store/test_record.py tests/velt/test_field_allow_list.py

.DEFAULT_GOAL := help
.PHONY: help run test unit coverage mutation topologies nightly lint format docs picture bench lock clean

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-10s %s\n", $$1, $$2 }'

run: $(RUNS) ## Run everything here: a Redis, a Velt sandbox, the resolver (Ctrl-C ends it all)
	@exec $(BIN)/resolver dev

test: $(INSTALLED) ## Run the tests, three at a time: most of them wait for a server
	@$(BIN)/pytest -n 3

unit: $(INSTALLED) ## Run what needs no browser and no process but a Redis: under a minute on two cores
	@$(BIN)/pytest -q -n 2 -m "$(UNIT_MARKS)" --hypothesis-profile=unit tests $(addprefix --ignore=tests/,$(NO_UNIT))

coverage: $(INSTALLED) ## Require every branch of the modules that decide about privacy to be tested
	@$(BIN)/coverage run -m pytest -q -m "$(EXAMPLES)" $(DECIDING)
	@$(BIN)/coverage report

mutation: $(INSTALLED) ## Change these modules in a thousand places, and require their tests to notice: ten minutes
	@rm -rf mutants
	@$(BIN)/mutmut run --max-children 2
	@$(BIN)/python -m tests.mutation

topologies: $(INSTALLED) ## Run what is about Redis on a cluster and behind a Sentinel
	@for topology in cluster sentinel restricted; do \
	    REDIS_TOPOLOGY=$$topology $(BIN)/pytest tests/store tests/outbox tests/notifications tests/auth \
	        tests/privacy tests/api || exit 1; \
	done

nightly: $(INSTALLED) ## Run the long profiles, and the generated tests with tens of thousands of examples
	@$(BIN)/pytest -m heavy
	@$(BIN)/python -m bench.soak --minutes 10
	@$(BIN)/pytest -n 3 --no-hot-path tests/api
	@$(BIN)/pytest -m fuzz --hypothesis-profile=nightly --hypothesis-show-statistics --timeout=7200

lint: $(INSTALLED) ## Check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(INSTALLED) ## Format the code
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

docs: $(INSTALLED) ## Write docs/cli.md from the commands
	@$(BIN)/python docs/cli_reference.py docs/cli.md

picture: $(INSTALLED) ## Take the README's picture of the demo page anew (needs chromium)
	@WRITE_PICTURES=1 $(BIN)/pytest -q -k picture tests/system/test_demo.py

bench: $(INSTALLED) ## Measure it beside an empty view, velt-py on PostgreSQL, and Redis alone (docs/performance.md)
	@$(BIN)/python -m bench $(BENCH)

lock: ## Renew the hashed lists of dependencies (needs uv)
	uv pip compile --quiet --upgrade $(LOCK_FLAGS) --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --upgrade $(LOCK_FLAGS) --all-extras --constraint requirements.lock \
	    --output-file requirements-dev.lock pyproject.toml
	uv pip compile --quiet $(LOCK_FLAGS) --extra quickstart --group editable --constraint requirements-dev.lock \
	    --output-file requirements-run.lock pyproject.toml
	uv pip compile --quiet $(LOCK_FLAGS) --group build --constraint requirements-dev.lock \
	    --output-file requirements-build.lock

clean: ## Remove the environment and all caches; development keys and data in .resolver stay
	rm -rf $(VENV) mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis

LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate

PIP := $(BIN)/pip install --quiet --disable-pip-version-check

$(RUNS): requirements-run.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --require-hashes -r requirements-run.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# A new environment has no packages of tests: where $(RUNS) is made again, this is too.
$(INSTALLED): requirements-dev.lock $(RUNS)
	@echo "Installing what the tests need into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
