# TokenHub's everyday commands; `make` alone lists them.

PYTHON ?= python3
PORT   ?= 8080
CONFIG ?= fixtures/config/demo.json

VENV    := .venv
BIN     := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV     := $(VENV)/.dev-installed
BENCH   := $(VENV)/.bench-installed
CODE    := $(wildcard vault registry accounts gateway tokenhub_site tests bench manage.py)

# The checks and the tests must not see the databases and the settings of whoever runs them.
ALONE := env -u DATABASE_URL -u REDIS_URL -u DJANGO_SETTINGS_MODULE
# The settings that the README asks for in production, on a key and a database that last as long as the check.
PRODUCTION = TOKENHUB_ENV_FILE= TOKENHUB_ENCRYPTION_KEY="$$($(BIN)/python -c "$(NEW_KEY)")" \
	ALLOWED_HOSTS=hub.example.com CSRF_TRUSTED_ORIGINS=https://hub.example.com TOKENHUB_BEHIND_TLS=true \
	DEBUG=false DATABASE_URL=sqlite://:memory:
NEW_KEY = from vault.crypto import generate_key; print(generate_key())
NEW_ENV = import secrets; from vault.crypto import generate_key; \
	print(f'TOKENHUB_ENCRYPTION_KEY={generate_key()}\nSECRET_KEY={secrets.token_urlsafe(50)}')
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Most tests wait for a gateway or a provider, so more of them run at once than there are cores; reordered, the files of
# few and long tests would all run at the end.
AT_ONCE := --numprocesses 3 --dist loadfile --no-loadscope-reorder
# With extras kept: pip takes `coverage[toml]` for a package of its own, which the lock must pin as well.
LOCKING := --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header --system-certs --quiet $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test lint format test-postgres bench profile lock clean

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24

install: $(RUNTIME) ## Install what the gateway needs to run, into .venv
	@echo "TokenHub is installed: $(BIN)/tokenhub"

# Where the environment brings a key, a second one in .env would only lie in wait for the day the first is missing.
run: $(RUNTIME) $(if $(TOKENHUB_ENCRYPTION_KEY)$(TOKENHUB_ENCRYPTION_KEY_FILE),,.env) ## Start a gateway that answers offline; PORT and CONFIG can be given
	@exec $(BIN)/tokenhub -config $(CONFIG) --port $(PORT) --create-admin

test: lint ## Run every check and every test
	@echo "== pytest"
	@$(ALONE) $(BIN)/python -m pytest $(AT_ONCE) --cov

lint: $(DEV) ## Check style, types, import walls, migrations and the production settings
	@echo "== ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Run make format."; exit 1; }
	@echo "== mypy"
	@$(ALONE) $(BIN)/mypy $(CODE)
	@echo "== import walls"
	@$(BIN)/lint-imports --no-logo
	@echo "== migrations"
	@$(ALONE) $(PRODUCTION) $(BIN)/python manage.py makemigrations --check --dry-run
	@echo "== production settings"
	@$(ALONE) $(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(DEV) ## Put the code into its one format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

test-postgres: $(DEV) ## Run the tests that touch the database on PostgreSQL, at DATABASE_URL
	@test -n "$$DATABASE_URL" || { echo "Say where PostgreSQL is: make test-postgres DATABASE_URL=postgres://user@127.0.0.1:5432/test"; exit 2; }
	@echo "== pytest on PostgreSQL"
	@env -u DJANGO_SETTINGS_MODULE $(BIN)/python -m pytest -q $(AT_ONCE) tests/vault tests/registry tests/accounts tests/pair

bench: $(BENCH) ## Measure the gateway's own cost; PEERS=all or some names measures others beside it
	@$(ALONE) $(BIN)/python -m bench $(if $(PEERS),--peers $(PEERS))

profile: $(BENCH) ## Draw where a worker's time goes under load, to bench/flame.svg
	@$(ALONE) $(BIN)/python -m bench.profile

lock: $(DEV) ## Write the locks again from pyproject.toml; UPGRADE=1 takes newer versions
	@$(BIN)/uv pip compile pyproject.toml --extra build $(LOCKING) --output-file requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --extra build --extra dev --constraints requirements.txt $(LOCKING) --output-file requirements-dev.txt
	@$(BIN)/uv pip compile pyproject.toml --extra build --extra bench --constraints requirements.txt $(LOCKING) --output-file requirements-bench.txt

clean: ## Remove what can be made again; .env and var/ stay
	@rm -rf $(VENV) build dist *.egg-info .coverage* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- files ------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "TokenHub needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not to be found)."; \
		echo "Say which one to take: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, install the package python3-venv."; exit 1; }
	@echo "== a virtual environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	@echo "== pip: requirements.txt"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# The development lock holds the runtime's packages at the same versions, so one pass serves both.
$(DEV): requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/python
	@echo "== pip: requirements-dev.txt"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $(RUNTIME) $@

$(BENCH): $(RUNTIME) requirements-bench.txt
	@echo "== pip: requirements-bench.txt"
	@$(PIP) --require-hashes -r requirements-bench.txt
	@touch $@

.env: | $(RUNTIME)
	@umask 077 && $(BIN)/python -c "$(NEW_ENV)" > .env.new && mv .env.new .env
	@echo "Fresh keys are in .env. Keep a copy of it: without its TOKENHUB_ENCRYPTION_KEY the stored secrets cannot be read."
