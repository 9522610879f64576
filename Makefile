# make lab       set up, copy what is missing into work/, open JupyterLab
# make test      everything, with what it needs; without a browser it says what it left out
# make check     the fast part, in under three minutes
#
# Without make: python tools/setup.py lab, python tools/setup.py --dev pytest
# A CPU build of torch: make setup TORCH_INDEX=<the index that PyTorch's installation page names>

PYTHON ?= python3
JOBS ?= 2
COURSE := $(PYTHON) tools/setup.py $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
DEV := $(COURSE) --dev
PYTEST := $(DEV) pytest -q -n $(JOBS) --dist loadgroup

.PHONY: setup lab test check lint notebooks test-slow test-gpu bench lock

setup:
	$(COURSE)

lab:
	$(COURSE) lab

test:
	$(PYTEST) tests

FAST := -m "not slow and not browser and not notebook and not gpu" --ignore=tests/kernels/test_compile.py

check: lint  # the audit is what test_audit.py asserts; the rest of the checks and compiling: make test
	$(PYTEST) $(FAST) --ignore-glob='tests/checks/test_[ack]*' tests
	$(DEV) simplex audit 00 01 02 03 04

lint:
	$(DEV) ruff check . && $(DEV) ruff format --check . && $(DEV) pyright
	$(DEV) python tools/build_notebooks.py --check

notebooks:
	$(DEV) python tools/build_notebooks.py $(if $(ONLY),--only $(ONLY))

test-slow:
	$(PYTEST) -m slow tests

test-gpu:
	$(DEV) pytest -q -m gpu tests

bench:
	@for script in benchmarks/[!_]*.py; do $(DEV) python $$script || exit 1; done

lock:
	$(DEV) python tools/lock.py
