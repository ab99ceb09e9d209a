# `make demo` and `make test` set up all they need in .venv; nothing outside this folder is changed, except that
# `make demo` puts the local model into assay's own data folder ($ASSAY_HOME or ~/.local/share/assay).
VENV ?= .venv
PY = $(VENV)/bin/python
WORKERS ?= 2

.PHONY: demo test test-fast nightly check format bench clean

demo: $(VENV)/.ready-local
	@$(PY) -m assay models pull
	@$(PY) -m assay demo

test: $(VENV)/.ready-test
	@$(PY) -m pytest -n $(WORKERS)

test-fast: $(VENV)/.ready-test
	@$(PY) -m pytest -n $(WORKERS) -m "not slow"

# Property tests with NIGHTLY times as many inputs, the long run and the largest loads whole; then the guided fuzzer.
NIGHTLY ?= 20
FUZZ_SECONDS ?= 600
nightly: $(VENV)/.ready-fuzz
	@NIGHTLY=$(NIGHTLY) $(PY) -m pytest -n $(WORKERS) -m "hypothesis or load"
	@$(PY) -m tests.fuzz.guided $(FUZZ_SECONDS)

check: $(VENV)/.ready-check
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/pyright --pythonpath $(PY)
	@$(VENV)/bin/lint-imports
	@$(PY) scripts/check_sizes.py
	@$(PY) -m pytest -q tests/docs

format: $(VENV)/.ready-check
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(VENV)/.ready-test
	@$(PY) -m bench

$(VENV)/.ready-%: pyproject.toml scripts/setup.sh
	@VENV=$(VENV) sh scripts/setup.sh $*
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
