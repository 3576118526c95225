# On a fresh machine run `make demo` or `make test`. README.md has the same steps with plain pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test goldens bench torture gpu lock install-verified check format clean

# Without a network the run continues, and LPIPS's column says what is missing.
demo: $(VENV)/.complete
	-$(BIN)/python bench.py weights fetch lpips
	$(BIN)/python bench.py --methods fpfomm,fomm,mraa

test: $(VENV)/.complete check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# Every golden vector of the published networks, including the large ones (many minutes): make goldens GOLDENS=FOLDER
GOLDENS ?= $(MEGBENCH_GOLDENS)
goldens: $(VENV)/.complete
	@test -n "$(GOLDENS)" || { echo "make goldens needs the vectors' folder: make goldens GOLDENS=FOLDER"; exit 1; }
	for file in $(GOLDENS)/*/golden/*.npz; do echo "$$file"; $(BIN)/python -m tests.golden "$$file" || exit 1; done

# Compare speed with plain recipes at full size, then with the baseline commit: an hour on an otherwise idle machine.
bench: $(VENV)/.complete
	$(BIN)/python -m pytest -o addopts= -s tests/benchmarks
	$(BIN)/python -m tests.benchmarks.against_baseline

# Kill, starve and race runs on purpose and compare each with an undisturbed one; write docs/reliability.md.
torture: $(VENV)/.complete
	$(BIN)/python -m tests.torture

# Compare generators and trainings on this machine's GPU with its CPU, measure them, and write .megbench/gpu.md.
gpu: $(VENV)/.complete
	$(BIN)/python bench.py gpu

check: $(VENV)/.complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.complete
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The marker is written last, so an interrupted installation is repeated.
$(VENV)/.complete: requirements.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements.txt
	touch $@

# List every package with the hashes of its files, for installations that accept nothing else.
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
