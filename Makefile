# Two commands from a fresh machine: `make demo` and `make test`. See README.md for the same in plain pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test goldens bench torture lock install-verified check format clean

# Without a network LPIPS's column says what it lacks, and the run goes on.
demo: $(VENV)/.complete
	-$(BIN)/python bench.py weights fetch lpips
	$(BIN)/python bench.py --methods fpfomm,fomm,mraa

test: $(VENV)/.complete check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# Every golden vector of the published networks, the large ones too (many minutes); GOLDENS is where they lie.
GOLDENS ?= ../shared/specs
goldens: $(VENV)/.complete
	for file in $(GOLDENS)/*/golden/*.npz; do echo "$$file"; $(BIN)/python -m tests.golden "$$file" || exit 1; done

# Speed beside plain recipes at full size, then beside the baseline commit: an hour on a machine with nothing else to do.
bench: $(VENV)/.complete
	$(BIN)/python -m pytest -o addopts= -s tests/benchmarks
	$(BIN)/python -m tests.benchmarks.against_baseline

# Runs killed, starved and raced on purpose, each compared with an undisturbed one; writes docs/reliability.md.
torture: $(VENV)/.complete
	$(BIN)/python -m tests.torture

check: $(VENV)/.complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.complete
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The marker is written last, so an installation that was cut off is done again.
$(VENV)/.complete: requirements.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements.txt
	touch $@

# Every package with the hashes of its files, for whoever wants to install nothing else.
lock: $(VENV)/.complete
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile requirements.txt -c constraints.txt --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.hashed.txt

install-verified:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.hashed.txt
	touch $(VENV)/.complete

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
