# make demo   sets up, compiles a trained model for a Jetson TX2 and an A6000 server, runs both halves on real images
# make test   sets up, runs every test (the runtime's under Python 3.6 too, where one is found)
# make test-gpu   the tests that need a CUDA device, on a machine that has one; tests/gpu/RECORD.md says what they show
# make test-kernels   the CUDA kernels through NVIDIA's compiler, which needs no GPU (downloads 90 MB)
# make test-triton   the client against a real Triton server, which a wheel carries (downloads 55 MB; Linux, no GPU)
# make lint   style, types, import directions, Python 3.6 syntax of runtime/

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test36 test-gpu test-kernels test-triton lint clean

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $$p $(NEW_ENOUGH) 2>/dev/null; then echo $$p; break; fi; done)
PYTHON36 ?= $(shell for p in python3.6 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.6*/bin/python3.6; do \
	if $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 6))' 2>/dev/null; then echo $$p; break; fi; done)
RUNTIME36 := coachc/__init__.py coachc/links.py runtime tests/runtime tests/conftest.py

help:
	@sed -n 's/^# make /make /p' Makefile

demo: $(VENV)/.demo
	$(BIN)/python -m coachc.models.demo

test: $(VENV)/.test test36
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

# The device program runs on JetPack 4.6, whose Python is 3.6.
ifneq ($(PYTHON36),)
test36: .venv36/.test
	PYTHONPATH=. .venv36/bin/python -m pytest -n 2 -q -c /dev/null --rootdir . -p no:cacheprovider tests/runtime
else
test36:
	@echo "no python3.6 found: the runtime tests run under this Python only"
endif

test-gpu: $(VENV)/.gpu
	$(BIN)/python -m pytest -q -m gpu -rs --durations=0 tests/gpu

# 12.9 is the last that knows the Jetsons before Orin.
test-kernels: $(VENV)/.test
	$(BIN)/python -m pip install --quiet nvidia-cuda-nvrtc-cu12==12.9.86
	$(BIN)/python -m pytest -q -rs tests/runtime/test_kernels_nvrtc.py

test-triton: $(VENV)/.test .triton/.made
	$(BIN)/python -m pytest -q -rs tests/runtime/link/test_triton.py

# Its dependencies, which are the wheel's own Python server's, are not wanted.
.triton/.made:
	$(BIN)/python -m pip download --quiet --no-deps --only-binary=:all: --platform manylinux_2_35_x86_64 -d .triton \
		nvidia-pytriton==0.7.0
	$(BIN)/python -m zipfile -e .triton/*.whl .triton/wheel
	@rm .triton/*.whl && touch $@

$(VENV)/.gpu: $(VENV)/.test
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[trt]'
	@touch $@

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/vermin --quiet -t=3.6- --eval-annotations --violations $(RUNTIME36)
	$(BIN)/python tests/helpers/parse36.py $(RUNTIME36)

clean:
	rm -rf $(VENV) .venv36 .triton build

# pip 25.1 is the first that reads dependency groups.
$(VENV)/.pip: constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "coachc needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[cpu,serve,images,digits]'
	@touch $@

$(VENV)/.test: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e '.[cpu,serve,images,video,digits,detect,export,ship,rtx]'
	@touch $@ $(VENV)/.demo

.venv36/.test:
	$(PYTHON36) -m venv .venv36
	.venv36/bin/python -m pip install --quiet --disable-pip-version-check pip==21.3.1
	.venv36/bin/python -m pip install --quiet --disable-pip-version-check numpy==1.19.5 pytest==7.0.1 \
		pillow==8.4.0 opencv-python-headless==4.6.0.66 cryptography==40.0.2 trustme==0.9.0 pytest-xdist==2.5.0
	@touch $@
