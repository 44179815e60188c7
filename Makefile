# `make demo` and `make test` work on a fresh machine with Python 3.11 and make:
# each builds its own environment in .venv when there is none, and nothing twice.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
GUIDED := $(VENV)/.guided

COMPILED := .compiled
BUILT    := $(COMPILED)/.built
TESTS    ?=

.PHONY: help demo test c-compiler compiled test-compiled wheel-slim trust fuzz check words bench screenshots format lock image-locks clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(READY) ## start a real TensorFlow model server and the proxy, send good and bad requests, show what happened
	$(BIN)/tfs-proxy demo

test: $(READY) ## the whole test suite
	$(BIN)/pytest

c-compiler:
	@cc=$${CC:-$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}; \
	  include=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	  echo '#include <Python.h>' | $$cc -I$$include -x c -fsyntax-only - 2>/dev/null || { \
	  echo "to compile, $$cc must be there and find $$include/Python.h (Debian: gcc libc6-dev python3-dev)" >&2; exit 1; }

compiled: c-compiler $(READY) ## compile the hot path (needs a C compiler; some minutes): wheel and tree in .compiled
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)/tree
	$(BIN)/hatchling build -t sdist -d $(COMPILED)
	tar -xzf $(COMPILED)/*.tar.gz --strip-components=1 -C $(COMPILED)/tree
	cd $(COMPILED)/tree && HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(abspath $(BIN))/hatchling build -t wheel -d ..
	touch $(BUILT)

$(BUILT): $(shell find proxy -name '*.py') pyproject.toml
	$(MAKE) compiled

test-compiled: compiled ## the whole test suite (or TESTS='tests/core ...') with the hot path compiled
	cd $(COMPILED)/tree && PYTHONPATH=$(abspath $(COMPILED))/tree $(abspath $(BIN))/pytest $(TESTS)

wheel-slim: $(READY) ## build dist/tfs_proxy_slim-….whl: with TensorFlow's message classes in it, so that pip installs no TensorFlow
	$(BIN)/python deploy/wheel/slim.py dist

# Where there is a C compiler, the compiled build takes part.
T ?=
trust: $(GUIDED) $(if $(shell command -v cc),$(BUILT)) ## everything that the proxy must survive, an hour (T=minutes, TRUST=--help); writes docs/reliability.md
	$(BIN)/python -m tests.trust $(if $(T),--minutes $(T)) $(TRUST)

# What guides fuzzing has no wheels for some platforms; there it does without, and says so.
fuzz: $(GUIDED) $(if $(shell command -v cc),$(BUILT)) ## fuzz what reads the octets of others for T seconds (FUZZ=--help); findings stay in .fuzz
	$(BIN)/python -m tests.fuzz $(if $(T),--seconds $(T)) $(FUZZ)

$(GUIDED): $(READY) requirements/fuzz.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.lock
	touch $@

check: $(READY) ## format, lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

words: $(READY) ## write every generated text anew: golden statuses and clients, docs/reasons.md, parts of docs and deploy
	$(BIN)/python -m tests.words

# Where there is a C compiler, the compiled build takes part, and is made anew when the sources have changed.
bench: $(READY) $(if $(shell command -v cc),$(BUILT)) ## measure beside Envoy, nginx, HAProxy and others, refusals too: half an hour, on a quiet machine (BENCH=--help)
	$(if $(shell command -v cc),,@echo "there is no C compiler (cc): the compiled build is left out")
	$(BIN)/python -m tests.bench $(BENCH)
	$(BIN)/python -m tests.bench.refusals

screenshots: $(READY) ## the pictures of the page in docs/pictures anew (needs Chromium; some minutes)
	$(BIN)/python -m tests.browser.pictures

format: $(READY) ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

lock: ## pin the newest versions that pyproject.toml allows, with hashes and without index addresses
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --quiet --upgrade -o requirements/dev.lock
	$(VENV)-lock/bin/uv pip compile requirements/fuzz.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --quiet --upgrade -o requirements/fuzz.lock
	$(MAKE) image-locks

image-locks: ## pin what the images install, at the versions of requirements/dev.lock
	test -x $(VENV)-lock/bin/uv || { $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv; }
	$(IMAGE_LOCK) -o requirements/image.lock
	$(IMAGE_LOCK) --extra values -o requirements/image-values.lock

IMAGE_LOCK = $(VENV)-lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --extra tracing \
	  --overrides requirements/image.overrides --constraint requirements/dev.lock \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --quiet --upgrade

clean: ## forget the environment and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .bench .fuzz $(COMPILED)

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV) (about a minute the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
