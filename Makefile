# fairseq_xling: what makes a multilingual model multilingual? `make` alone lists the targets.
# Every target sets up .venv first, once; a later call finds it done and loses no time.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-seeds test test-kernels test-slurm torture lint bench doctor wheelhouse clean

PY := .venv/bin/python
CODE := $(sort $(dir $(wildcard fairseq_xling/*.py preprocess/*.py eval/*.py benchmarks/*.py)))
TESTS :=
WHEELHOUSE :=
MINUTES := 20

help:
	@echo 'make setup        make .venv with Python >= 3.11 (PYTHON=python3.12 chooses), everything pinned'
	@echo 'make demo         three bilingual models of the invented world, and what they share: runs/demo/report.html'
	@echo 'make demo-seeds   the same with three seeds: mean and spread'
	@echo 'make test         all tests (TESTS="tests/formats -k bio" for some)'
	@echo 'make test-slurm   a real Slurm on this machine (Debian, as root): jobs, preemption, two nodes'
	@echo 'make test-kernels the GPU kernels without a GPU, in the interpreter of Triton'
	@echo 'make torture      damaged files, kills, full disks, strange machines: about 20 minutes (MINUTES=5 for less)'
	@echo 'make lint         style, format and types'
	@echo 'make bench        every benchmark in benchmarks/, in turn'
	@echo 'make doctor       the versions that matter, and for each known trap the fix'
	@echo 'make wheelhouse   collect all wheels for a host without internet (WHEELHOUSE="--python 3.12 --with-torch")'
	@echo 'make clean        remove caches (what was trained stays in runs/)'

setup:
	@bash environment/install.sh

demo: setup
	$(PY) eval/demo.py

demo-seeds: setup
	$(PY) eval/demo.py --seeds 1 2 3

test:
	@bash environment/install.sh --dev
	$(PY) -m pytest -n 2 $(TESTS)

# of torch 2.11; in a folder of its own, as torch for a GPU brings one that belongs to it
TRITON := triton==3.6.0
.venv/kernels/triton:
	@bash environment/install.sh --dev
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --target .venv/kernels $(TRITON)

test-kernels: .venv/kernels/triton
	TRITON_INTERPRET=1 PYTHONPATH=.venv/kernels $(PY) -m pytest -n 2 tests/kernels

test-slurm:
	@bash environment/install.sh --dev
	tests/slurm/slurm.sh install
	XLING_TEST_SLURM=1 $(PY) -m pytest tests/slurm

torture:
	@bash environment/install.sh --dev
	$(PY) -m tests.torture --minutes $(MINUTES)

lint:
	@bash environment/install.sh --dev
	@status=0; for check in 'ruff check .' 'ruff format --check .' 'mypy $(CODE)'; do \
		echo "$(PY) -m $$check"; $(PY) -m $$check || status=1; \
	done; exit $$status

bench: setup
	@$(PY) -c 'import faiss, subword_nmt, wikiextractor' 2> /dev/null || \
		echo 'to compare with all peers: $(PY) -m pip install --no-deps -r environment/requirements-bench.txt'
	@if [ -e benchmarks/run.py ]; then exec $(PY) benchmarks/run.py; fi; \
	for script in benchmarks/*.py; do echo "== $$script"; $(PY) "$$script"; done

doctor: setup
	@$(PY) -m fairseq_xling.doctor

wheelhouse:
	@bash environment/wheelhouse.sh $(WHEELHOUSE)

clean:
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
