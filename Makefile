# devtls: `make` lists the targets. Needs Python >= 3.11 and make; uses uv when it is there.

VENV := .venv
# With uv, another one is `make PYTHON=3.13 check`.
PYTHON := >=3.11
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
EXE := .exe
else
BIN := $(VENV)/bin
endif
CANDIDATES := python3.13 python3.12 python3.11 python3
STAGE = @printf '\033[1m==> %s\033[0m\n'

# Tests beside each other, as many as there are cores; the long ones of one are taken over by another that is done.
PYTEST := $(BIN)/pytest -n auto --dist worksteal
# What `make quick` leaves out: tests with sockets, with whole programs, with programs of somebody else's, of the house.
SLOW := $(addprefix tests/,__pycache__ bench compliance daemon demo docs doctor e2e net web) tests/test_house.py tests/test_words.py
QUICK := $(filter-out $(SLOW),$(patsubst %/,%,$(wildcard tests/*/)) $(wildcard tests/test_*.py))
TYPES := types-linux types-darwin types-win32

.PHONY: help demo quick check test test-frameworks test-engines test-packages lint types $(TYPES) docs bench clean
.SUFFIXES:

help:
	@echo 'make demo    see devtls work: a sample app behind the proxy, nothing on your system is changed'
	@echo 'make quick   the tests of the pure packages, the command line and the system: about a minute'
	@echo 'make check   linters, types, architecture and every test but those with whole programs: about five minutes'
	@echo 'make test    all of that, the demo and every test: about fifteen minutes'
	@echo 'make test-frameworks, test-engines, test-packages'
	@echo '             frameworks, other servers and verifiers, how devtls is installed: these tests alone'
	@echo 'make lint    only the linters, types and architecture'
	@echo 'make docs    write the generated pages and build the documentation into build/docs; a broken link is an error'
	@echo 'make bench   measure devtls, Caddy and nginx side by side (about seven minutes; needs nginx, h2load and wrk)'
	@echo 'make clean   remove what these made'

demo: $(VENV)/.runtime
	@echo 'In this directory devtls is $(BIN)/devtls.'
	@$(BIN)/devtls demo

quick: $(VENV)/.dev
	$(STAGE) 'pytest (pure packages, command line, system)'
	@$(PYTEST) --quiet -m 'not tools and not bench' $(QUICK)

check: lint
	$(STAGE) 'pytest (all but whole programs)'
	@$(PYTEST) --quiet -m 'not bench and not installs' --ignore tests/e2e

test: lint
	$(STAGE) 'devtls demo --check'
	@$(BIN)/devtls demo --check
	$(STAGE) 'pytest (pure packages: every branch covered)'
	@$(PYTEST) --cov --cov-branch -m 'not bench and not installs'

test-frameworks test-engines test-packages: test-%: $(VENV)/.dev
	$(STAGE) 'pytest ($*)'
	@$(PYTEST) -m '$* and not bench'

lint: $(VENV)/.dev
	$(STAGE) 'ruff check'
	@$(BIN)/ruff check --quiet
	$(STAGE) 'ruff format --check'
	@$(BIN)/ruff format --quiet --check
	$(STAGE) 'mypy --strict, on three systems at the same time'
	@$(MAKE) --no-print-directory --jobs=3 $(TYPES)
	$(STAGE) 'import-linter'
	@shown=$$($(BIN)/lint-imports 2>&1) || { printf '%s\n' "$$shown"; exit 1; }

types: $(TYPES)

types-linux: $(VENV)/.dev
	@$(BIN)/mypy --strict --no-error-summary

types-darwin types-win32: types-%: $(VENV)/.dev
	@$(BIN)/mypy --strict --no-error-summary --platform $* --cache-dir .mypy_cache/$* devtls

docs: $(VENV)/.docs
	$(STAGE) 'python -m docs.generate'
	@$(BIN)/python -m docs.generate
	$(STAGE) 'sphinx-build'
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky docs build/docs

bench: $(VENV)/.bench
	@$(BIN)/python -m tests.bench $(BENCH)

clean:
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One stamp per set of packages; a change of pyproject.toml installs again.

$(VENV)/.runtime: pyproject.toml | $(BIN)/python$(EXE)
	$(STAGE) 'install devtls'
	@$(call install,)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python$(EXE)
	$(STAGE) 'install devtls and the tools for its tests'
	@$(call install,--group dev --group examples)
	@touch $@ $(VENV)/.runtime

$(VENV)/.docs: pyproject.toml | $(BIN)/python$(EXE)
	$(STAGE) 'install devtls, Sphinx and its theme'
	@$(call install,--group docs)
	@touch $@ $(VENV)/.runtime

$(VENV)/.bench: pyproject.toml | $(BIN)/python$(EXE)
	$(STAGE) 'install devtls, Caddy and h2'
	@$(call install,--group bench)
	@touch $@ $(VENV)/.runtime

define install
if command -v uv >/dev/null 2>&1; then \
	uv pip install --quiet --python $(BIN)/python --editable . $(1); \
else \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . $(1); \
fi
endef

# pip learned --group in 25.1; the pip that comes with Python 3.11 is older.
$(BIN)/python$(EXE):
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --python '$(PYTHON)' $(VENV); exit $$?; \
	fi; \
	found=; \
	for python in $(CANDIDATES); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		found=$${found:-$$python}; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
		printf '==> make %s with %s\n' $(VENV) "$$python"; \
		"$$python" -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'; \
		code=$$?; test $$code -eq 0 || rm -rf $(VENV); exit $$code; \
	done; \
	if test -z "$$found"; then \
		echo 'devtls needs Python 3.11 or newer, and there is none on PATH.' >&2; exit 1; \
	fi; \
	package=$$("$$found" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	if command -v apt-get >/dev/null 2>&1; then \
		printf '%s cannot make a virtual environment yet. Run this, then make again:\n  sudo apt-get install %s\n' "$$found" "$$package" >&2; \
	else \
		printf '%s cannot make a virtual environment: install its venv and ensurepip modules, or uv.\n' "$$found" >&2; \
	fi; \
	exit 1
