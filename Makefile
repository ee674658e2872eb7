# Two commands on a fresh Debian machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Folder with the data sets of the benchmarks (docs: "Data"); tests that need them are skipped without it.
export KINBITS_DATA ?= $(wildcard ../shared/data)
export OMP_NUM_THREADS ?= 2
# Waiting threads sleep: spinning ones slow small steps down many times on busy cores.
export OMP_WAIT_POLICY ?= PASSIVE

PACKAGES := $(shell grep -v '^\#' packages.txt)

.PHONY: demo install test quick check lint types tests exhaustive docs site coverage packages results bench bench-full exchange
.PHONY: lock lock-check locked sbom clean

demo: $(VENV)/.installed
	$(BIN)/kinbits demo -o demo

install: $(VENV)/.installed

test: $(VENV)/.installed check

# What to run after each edit: less than a minute on two cores.
QUICK := _util hamming metrics test_house.py test_docs.py
quick: $(VENV)/.installed lint types
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not alone" $(addprefix tests/,$(QUICK))

check: lint types tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror csrc/* tests/native/*pp

types:
	$(BIN)/mypy

# A process that dies ends the suite, which names the test: pytest-xdist 3.8 waits for ever after it started another.
tests:
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0 --durations=40 -m "not alone"
	$(BIN)/python -m pytest -q -m alone

# Hours: all seeds, methods, kills and random inputs, of which each run of the suite takes a sample.
exhaustive: $(VENV)/.installed
	KINBITS_EXHAUSTIVE=1 $(MAKE) --no-print-directory tests

# The examples in documents and docstrings, the pages that scripts write, and the links between them.
docs: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0 \
	    tests/test_site.py tests/test_docs.py tests/test_docstrings.py tests/test_pages.py tests/test_attack_pages.py tests/test_fill_numbers.py

# The documents as a site in build/site, which a browser opens without a server. A page that leads nowhere stops the build.
site: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

# All tests but those that measure time, which the measurement would slow down. pyproject.toml has the floor.
coverage: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0 -m "not alone" \
	    --cov --cov-report=term --cov-report=html:build/coverage

# The examples of docs/exchange.md with all programs: installs large packages that no other test needs.
exchange: $(VENV)/.installed
	$(BIN)/uv pip install -q -p $(BIN)/python -c constraints.txt -r pyproject.toml --extra exchange
	$(BIN)/python -m pytest -q tests/test_exchange.py tests/test_pages.py -k exchange

# The development environment with hashes: write it, check it, install it without resolving anything.
lock: $(VENV)/.installed
	$(BIN)/python tools/lock.py

lock-check:
	$(BIN)/python tools/lock.py --check

TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
locked:
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-deps --index-url $(TORCH_INDEX) $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install -q --no-deps --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check

# What kinbits is installed with, in dist/: a bill of materials, and all licences. Fails at a licence that is not allowed.
sbom:
	$(BIN)/python tools/sbom.py -o dist

results: $(VENV)/.installed
	for experiment in experiments/*.yaml; do $(BIN)/kinbits bench $$experiment || exit 1; done
	for script in medical_classes label_expansion rankhash ties embeddings real_queries attacks_digits robustness text_search general copies duplicates duplicates_radius tuned scale_simulation; do $(BIN)/python experiments/$$script.py || exit 1; done
	$(BIN)/python experiments/fill_numbers.py

BENCHMARKS := bench_scan bench_multi_index bench_index bench_pairs bench_metrics bench_neighbours bench_startup bench_tables bench_kinds bench_serve

# Minutes, and hours: each script prints markdown tables of ratios measured in one run.
bench bench-full: $(VENV)/.installed
	for script in $(BENCHMARKS); do \
	    $(BIN)/python benchmarks/$$script.py $(if $(filter bench-full,$@),--full,--short) || exit 1; \
	done

# Installs what may be installed, and names the rest.
packages:
	@missing=$$(dpkg-query -W -f '$${Package} $${Status}\n' $(PACKAGES) 2>/dev/null | awk '/ok installed/ {print $$1}'); \
	missing=$$(for p in $(PACKAGES); do echo "$$missing" | grep -qx "$$p" || echo "$$p"; done); \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
	    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing >/dev/null \
	    || echo "could not install" $$missing; \
	else echo "please install as root: apt-get install" $$missing; fi

$(VENV)/.installed: pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
	@$(MAKE) --no-print-directory packages
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch numpy uv
	$(BIN)/uv pip install -q -p $(BIN)/python -c constraints.txt -e '.[dev]'  # pip takes minutes for the same
	touch $@

clean:
	rm -rf $(VENV) build dist demo
