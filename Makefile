# make replicate and make test do all the setting up themselves: a virtual environment in .venv, the package in it.

# The newest of the supported Pythons that runs, or what PYTHON names: make test PYTHON=python3.12
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	"$$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
# Of the tests: two processes on two cores or more.
PROCESSES ?= -n 2
PRESET ?= quick
# Processes of make replicate, which share the cores.
JOBS ?= 2
# Of make sweep: the seeds, each a run of all recipes, or of those that ARGS names.
SEEDS ?= 0 1 2 3 4 5 6 7 8 9
# What make keep takes; of several seeds, RUNS=runs/seed-0 takes the others beside it too.
RUNS ?= runs
INSTALLED := .venv/installed
# The C library of the TensorFlow that TensorFlow Serving 2.20.0 is built on, for the tests of the exported models.
RUNTIME := .venv/serving-runtime

.PHONY: help install replicate sweep test test-all test-pythons benchmark lint docs keep notebook constraints clean
.DEFAULT_GOAL := help

help:
	@echo "make install      set up .venv; every other target does so too"
	@echo "make replicate    train, evaluate and draw every recipe of a preset (PRESET=smoke|quick|paper, JOBS=1, ARGS=--resume ...)"
	@echo "make sweep        the same of several seeds, where it is missing (SEEDS=\"0 1\", RUNS=/shared/runs, ARGS=vae; -k -j 2)"
	@echo "make test         run the tests but the slow ones (ARGS=tests/models, say, for some)"
	@echo "make test-all     run all tests: the resume of every recipe and the like too"
	@echo "make test-pythons install the wheel and run it in each of Python 3.10 to 3.13 that is found"
	@echo "make benchmark    speed beside JAX, plain Keras, TensorFlow 1 and PyTorch (ARGS=--quick, say; ARGS=--help)"
	@echo "make docs         write the documents that come from the recipes and from docs/results"
	@echo "make keep         take pictures, page and results from runs/ into docs/, after make replicate on MNIST (RUNS=runs/seed-0: of all seeds)"
	@echo "make notebook     run notebooks/lecture.ipynb and keep its outputs in it"
	@echo "make lint         check the style and the types"
	@echo "make constraints  write constraints.txt: the versions that are installed here, and what suits other Pythons"
	@echo "make clean        remove .venv, caches and build products; runs/ stays"

install: $(INSTALLED)

replicate: $(INSTALLED)
	$(BIN)/tfgen run --all --preset $(PRESET) --jobs $(JOBS) $(ARGS)

sweep: $(SEEDS:%=seed-%)

.PHONY: $(SEEDS:%=seed-%)
$(SEEDS:%=seed-%): seed-%: $(INSTALLED)
	$(BIN)/tfgen run $(or $(ARGS),--all) --preset $(PRESET) --seeds $* --resume --output-dir $(RUNS)

test: $(INSTALLED) $(RUNTIME)/fetched
	$(BIN)/python -m pytest $(PROCESSES) $(ARGS)

test-all: $(INSTALLED) $(RUNTIME)/fetched
	$(BIN)/python -m pytest -m "slow or not slow" $(PROCESSES) $(ARGS)

test-pythons: $(INSTALLED)
	$(BIN)/python tests/pythons.py

$(RUNTIME)/fetched: $(INSTALLED)
	mkdir -p $(RUNTIME)
	@$(BIN)/python -m pip download --quiet --no-deps --dest $(RUNTIME) tensorflow-cpu==2.20.0 \
		&& $(BIN)/python -c 'import glob, zipfile; \
			[zipfile.ZipFile(*glob.glob("$(RUNTIME)/*.whl")).extract(f"tensorflow/libtensorflow_{name}.so.2", "$(RUNTIME)") \
			for name in ("cc", "framework")]' \
		&& touch $@ || echo "TensorFlow 2.20.0 cannot be had here: what needs its library is not tested"
	@rm -f $(RUNTIME)/*.whl

benchmark: $(INSTALLED)
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/python -m tfgen.report.documents

keep: $(INSTALLED)
	mkdir -p docs/images
	cp $(RUNS)/gan/figures/samples_through_training.gif docs/images/gan_through_training.gif
	cp $(RUNS)/stacked-autoencoder/figures/reconstructions.png docs/images/autoencoder_reconstructions.png
	cp $(RUNS)/clustering-autoencoder/figures/codes.png docs/images/codes.png
	cp $(RUNS)/vae-2d/figures/manifold.png docs/images/manifold.png
	cp $(RUNS)/discriminative-vs-generative/figures/decision_boundaries.png docs/images/boundaries.png
	cp $(RUNS)/gan-1d/figures/stages.png docs/images/gan_1d.png
	cp $(RUNS)/denoising-autoencoder/figures/denoised_masking.png docs/images/denoising.png
	$(BIN)/tfgen report $(RUNS) --output docs/report.html
	for run in $(RUNS)/*[a-z]/results.json $(if $(filter %/seed-0,$(RUNS)),$(wildcard $(RUNS:0=[1-9])/*[a-z]/results.json)); do \
		to=docs/results/$$($(BIN)/python -c 'import json, sys; run = json.load(open(sys.argv[1])); \
			print("{preset}-{seed}/{recipe}".format(**run))' $$run) && mkdir -p $$to && \
			cp $$run $$(dirname $$run)/training.csv $$to || exit 1; done
	$(BIN)/python -m tfgen.report.documents

notebook: $(INSTALLED)
	$(BIN)/python notebooks/execute.py

# uv keeps the versions that it finds in the file, wherever a Python has them.
constraints: $(INSTALLED)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --extra test --no-annotate --no-header \
		--output-file constraints.txt setup.cfg
	@touch $(INSTALLED)

clean:
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find tfgen tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 found. Install one, or name it: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv .venv
# The pip that comes with Python 3.10 takes many minutes to find versions that go together.
	$(BIN)/python -m pip install --quiet --upgrade pip
# The versions that were tested. Where one of them cannot be had, those that pip chooses. Python itself compiles what is
# imported, which is a small part.
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[test]" \
		|| { echo "constraints.txt cannot be met here: installing the newest versions that go together"; \
		$(BIN)/python -m pip install --quiet --no-compile --editable ".[test]"; }
	@touch $@
