# `make demo` and `make test` set up what they need. CPU-only and CUDA machines use the same pinned environment.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
GPUS := $(shell nvidia-smi -L 2>/dev/null | wc -l)
SOURCES := workflow tests docs benchmarks predict.py

CONFIG ?=
FILE ?= results/digits/export/ensemble.onnx
DATA ?=
RESULTS ?= results/digits
A ?=
B ?=
CHECKS ?=
MINUTES ?=
OUT ?=
ARGS ?=

.PHONY: help setup demo explain verify verify-alone compare report bench bench-quality bench-finetune bench-noop bench-imagenet-size bench-makespan bench-optimism bench-export bench-large-export bench-scale gpu test test-slurm examples reruns commands torture stress fuzz lint format docs lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) ## the environment, in .venv; then `source .venv/bin/activate`

$(READY): envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Foldstack needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import uv' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing the pinned environment (about 6 GB, a minute or two) ..."
	@$(BIN)/python -m uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python envs/requirements.txt
	@touch $@

demo: $(READY) ## train, stack, evaluate, export and predict on scikit-learn's digits
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) --resources gpu=$(if $(filter-out 0,$(GPUS)),$(GPUS),1)

explain: $(READY) ## what would run, why, and about how long; CONFIG=my.yaml for your own
	@PATH="$(CURDIR)/$(BIN):$$PATH" python workflow/commands/explain.py --cores $(CORES) --gpus $(if $(filter-out 0,$(GPUS)),$(GPUS),1) $(if $(CONFIG),--configfile $(CONFIG))

verify: $(READY) ## score an exported file on labelled images: FILE=ensemble.onnx DATA=folder
	@test -n "$(DATA)" || { echo "Say what to score it on: make verify FILE=ensemble.onnx DATA=folder-of-class-folders"; exit 1; }
	@$(BIN)/python workflow/commands/verify.py "$(FILE)" "$(DATA)"

verify-alone: $(READY) ## the exported file in an environment of onnxruntime, numpy and Pillow: RESULTS=results/digits
	@$(BIN)/python tests/tools/alone.py "$(RESULTS)"

compare: $(READY) ## two experiments: what differs, and whether beyond noise: A=results/x B=results/y
	@test -n "$(A)" -a -n "$(B)" || { echo "Say which two: make compare A=results/x B=results/y"; exit 1; }
	@$(BIN)/python workflow/commands/compare.py "$(A)" "$(B)"

report: $(READY) ## the demo's report, in report.html
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --report report.html

test: $(READY) ## the whole test suite
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(MAKE) --no-print-directory lint
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-slurm: $(READY) ## profiles/slurm on a real Slurm, installed (as root) where missing; a quarter of an hour, in no other target
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -v tests/slurm/check_cluster.py $(ARGS)

examples: $(READY) ## every config of config/examples from data to the one file, in a reduced form (a quarter of an hour)
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest -v tests/e2e/check_examples.py $(ARGS)

reruns: $(READY) ## "changing X reruns exactly Y", each row of the table executed (half an hour)
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 FOLDSTACK_EXECUTE_RERUNS=1 python -m pytest -v tests/workflow/test_reruns.py $(ARGS)

commands: $(READY) ## every make target and documented command, in a reduced form, in a copy (half an hour)
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest -v tests/e2e/check_commands.py $(ARGS)

torture: $(READY) ## kill the demo 20 times; the results must not differ by a byte
	PATH="$(CURDIR)/$(BIN):$$PATH" python tests/tools/torture.py $(ARGS)

stress: $(READY) ## leases of four stand-in GPUs under random kills; renews docs/benchmarks/leases.md (a minute)
	@$(BIN)/python tests/tools/leases_stress.py $(ARGS)

fuzz: $(READY) ## thousands of broken inputs; renews docs/benchmarks/fuzz.md (a few minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/tools/fuzz.py $(ARGS)

lint: $(READY) ## formatters and linters, changing nothing
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

format: $(READY) ## formatters, in place
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/snakefmt Snakefile rules

lock: ## renew envs/requirements.txt from pyproject.toml
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
		--group dev --custom-compile-command "make lock" pyproject.toml -o envs/requirements.txt

bench: $(READY) ## training speed: ceiling, ours, timm's loop, a plain loop, fixed cost; renews docs/benchmarks/training.md (half an hour)
	@$(BIN)/python benchmarks/training.py $(ARGS)

bench-quality: $(READY) ## the same training by Foldstack and by a plain loop: equally good? (a few minutes)
	@$(BIN)/python benchmarks/equal_quality.py $(ARGS)

bench-finetune: $(READY) ## fine-tuning from scratch, whole and head only, by both normalisations: DATA=folder with train/<class>/ (twenty minutes)
	@test -n "$(DATA)" || { echo "Say on which images: make bench-finetune DATA=folder, with train/<class>/*.jpg of ten classes, such as CIFAR-10"; exit 1; }
	@$(BIN)/python benchmarks/fine_tuning.py "$(DATA)" $(ARGS)

bench-makespan: $(READY) ## 60 runs of unequal length on four stand-in GPUs, against round robin (six minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/makespan.py $(ARGS)

bench-noop: $(READY) ## what an invocation with nothing to do costs with 500 and 2,000 finished runs (ten minutes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/no_op.py $(ARGS)

bench-imagenet-size: $(READY) ## the data and folds stages on 1.28 million rows; renews docs/benchmarks/imagenet-size.md (half an hour, 30 GB of disk)
	@$(BIN)/python benchmarks/imagenet_size.py $(ARGS)

bench-optimism: $(READY) ## estimate against untouched test, and what leaks fake, on the digits (ten minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/optimism.py $(ARGS)

bench-export: $(READY) ## latency and memory of the demo's one file against its parts and against torch (some minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/export_latency.py $(ARGS)

bench-large-export: $(READY) ## an ensemble of more than 2 GB, exported and run alone; renews docs/benchmarks/large-export.md (ten minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/large_export.py $(ARGS)

bench-scale: $(READY) ## each stage at 10 to 1,000 classes and 10,000 to 100,000 samples, and one whole run; renews docs/benchmarks/scale.md (hours; resumes)
	@PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/scale/run.py $(ARGS)

# Whatever the dates say: where there is an environment, this needs no network.
gpu: $(if $(wildcard $(READY)),,$(READY)) ## checks on an NVIDIA GPU; renews docs/benchmarks/gpu.md: CHECKS="demo speed" MINUTES=9 OUT=folder
	@$(BIN)/python benchmarks/gpu/run.py $(if $(CHECKS),--checks $(CHECKS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(OUT),--out "$(OUT)")

docs: $(READY) ## pages that are made from the code
	$(BIN)/python docs/make_config_reference.py
	$(BIN)/python docs/make_augmentation_picture.py

clean: ## remove the demo's results
	rm -rf results/digits report.html
