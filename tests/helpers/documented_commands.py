"""The commands that the README, CONTRIBUTING.md, docs/ and the Makefile offer, and where each of them is executed.

`make commands` (tests/e2e/check_commands.py) types the `check` of every row, from the first to the last, in one copy
of the project; where that would take too long or cannot be reduced, `test` names the test that executes the command.
tests/workflow/test_commands.py fails for a command that has no row here.
"""

import re
from pathlib import Path
from typing import NamedTuple

PROGRAMS = ("make", "snakemake", "python", "pytest", "source")  # first words of what a reader types in this project
COMMAND = re.compile(rf"(?:\w+=\S+ )*(?:{'|'.join(PROGRAMS)}) \S.*")


FOREIGN = ("CUDA_VISIBLE_DEVICES=2 python train.py ... &",)  # what people type who have no Foldstack yet


class Row(NamedTuple):
    """`pattern` matches the whole documented command; `check` is its reduced form, in bash, or `test` executes it."""

    pattern: str
    check: str = ""
    test: str = ""
    needs: str = ""  # "npm" or "registry" (of packages): without it the check is skipped

    @property
    def name(self) -> str:
        return self.pattern.partition("(")[0].replace("\\", "").strip()


SNAKEMAKE_NUMBERS = r"--cores \d+( --resources gpu=\d+)?"
ENSEMBLE = "results/digits/export/ensemble.onnx"
TESTED = "tests/workflow/test_commands.py"  # cheap to collect

ROWS = (
    Row(r"make help", "make help | grep 'make demo'"),
    Row(
        r"make explain( CONFIG=my\.yaml)?",
        "make explain CORES=2 | grep 'jobs; no timings yet' && make explain CONFIG=my.yaml",
    ),
    Row(r"make demo", "make demo CORES=2"),
    Row(rf"snakemake {SNAKEMAKE_NUMBERS}", "snakemake --cores 2 --resources gpu=4 2>&1 | grep 'Nothing to be done'"),
    Row(r"source \.venv/bin/activate", "source .venv/bin/activate && snakemake --version"),
    Row(r"snakemake -n", "snakemake -n 2>&1 | grep 'Nothing to be done'"),
    Row(r"snakemake --cores \d+ --configfile my\.yaml", "snakemake --cores 2 --configfile my.yaml"),
    Row(r"snakemake predict( --cores \d+ --configfile my\.yaml)?", "snakemake predict --cores 2 --configfile my.yaml"),
    Row(r"snakemake leakcheck( --cores 2)?", "snakemake leakcheck --cores 2"),
    Row(r"snakemake nested( --cores 2)?", "snakemake nested --cores 2"),
    Row(r"snakemake repeated", "snakemake repeated --cores 2"),
    Row(r"snakemake variants", "snakemake variants --cores 2"),
    Row(r"snakemake browser( --cores 2)?", "snakemake browser --cores 2", needs="npm"),
    Row(
        r"snakemake results/\{experiment\}/export/variants/fp16\.html",
        "snakemake --cores 2 results/digits/export/variants/fp16.html",
        needs="npm",
    ),
    Row(r"snakemake dual", test="tests/e2e/test_text_and_studies.py::test_export_dual"),
    Row(r"snakemake traces", "snakemake traces --cores 2"),
    Row(r"snakemake --until fetch_weights fetch_encoder", "snakemake --cores 2 --until fetch_weights fetch_encoder"),
    Row(
        r"snakemake --workflow-profile profiles/slurm( --configfile my\.yaml)?",
        test="tests/workflow/test_profiles.py::"
        "test_a_run_asks_slurm_for_its_gpu_memory_and_time_from_a_machine_without_gpus",
    ),
    Row(
        r"snakemake --cores all --resources gpu=4 --configfile config/examples/comparison\.yaml "
        r"config/examples/larger/comparison\.yaml",
        test="tests/workflow/test_examples.py::test_an_example_config_is_valid_and_plans_its_runs",
    ),
    Row(r"snakemake --report report\.html", "snakemake --report report.html && test -s report.html"),
    Row(
        r"snakemake results/\{experiment\}/evaluation/report\.html",
        "snakemake results/my/evaluation/report.html --cores 2 --configfile my.yaml",
    ),
    Row(r"make report", "rm -f report.html && make report && test -s report.html"),
    Row(r"make verify( FILE=ensemble\.onnx DATA=folder)?", f"make verify FILE={ENSEMBLE} DATA=labelled"),
    Row(r"make verify-alone", "make verify-alone", needs="registry"),
    Row(r"make compare( A=results/\w+ B=results/\w+)?", "make compare A=results/digits B=results/my"),
    Row(
        r"python predict\.py ensemble\.onnx (images|photos)/ -o predictions\.csv",
        f"cp {ENSEMBLE} . && python predict.py ensemble.onnx photos/ -o predictions.csv && test -s predictions.csv",
    ),
    Row(
        r'python predict\.py ensemble\.onnx "more/\*\.jpg" list\.csv --top-k 3 --threshold 0\.8',
        'python predict.py ensemble.onnx "more/*.jpg" list.csv --top-k 3 --threshold 0.8',
    ),
    Row(
        r"python predict\.py ensemble\.onnx test\.npz --submission -o submission\.csv",
        "python predict.py ensemble.onnx test.npz --submission -o submission.csv && test -s submission.csv",
    ),
    Row(r"python predict\.py ensemble\.onnx --self-test", "python predict.py ensemble.onnx --self-test"),
    Row(
        r"make gpu( CHECKS=.*)?",
        "FOLDSTACK_FAKE_GPUS=A,B make gpu CHECKS='lease resume' MINUTES=9 OUT=folder && test -s folder/gpu.md",
    ),
    Row(
        r"FOLDSTACK_FAKE_GPUS=A make gpu OUT=rehearsal",
        "FOLDSTACK_FAKE_GPUS=A make gpu CHECKS=lease OUT=rehearsal && test -s rehearsal/gpu.md",
    ),
    Row(r"make bench", 'make bench ARGS="--cases small --rounds 2 --share 0.02 --workers 1"'),
    Row(r"make bench-quality", 'make bench-quality ARGS="--seeds 2 --epochs 3"'),
    Row(r"make bench-finetune( DATA=folder)?", 'make bench-finetune DATA=digits ARGS="--seeds 2 --share 0.03"'),
    Row(r"make bench-noop", 'make bench-noop ARGS="--sizes 2x1x2 --repeats 1"'),
    Row(
        r"make bench-imagenet-size",
        'make bench-imagenet-size ARGS="--rows 3000 6000 --classes 10 --jpegs 40 --size 32 --out page.md"',
    ),
    Row(r"make bench-makespan", 'make bench-makespan ARGS="--sets 1 --median 0.1"'),
    Row(r"make bench-optimism", 'make bench-optimism ARGS="--resamplings 2 --n-train 100"'),
    Row(
        r"python benchmarks/optimism\.py --npz file\.npz --n-train 500 --resamplings 20",
        "python benchmarks/optimism.py --npz digits.npz --n-train 100 --resamplings 2",
    ),
    Row(
        r"python benchmarks/optimism\.py --resamplings 31 --rows rows\.csv",
        "python benchmarks/optimism.py --n-train 100 --resamplings 2 --rows rows.csv && test -s rows.csv",
    ),
    Row(
        r"make bench-large-export",
        'make bench-large-export ARGS="--dry --architecture small_cnn --size 32 --networks 2"',
    ),
    Row(r"make bench-export", 'make bench-export ARGS="--share 0.01"'),
    Row(
        r"make bench-scale",
        'make bench-scale ARGS="--parts grid whole page --classes 8 --samples 200 --models 2 --folds 2 '
        '--whole 8 200 20 2 1 --work scale --page scale.md" && test -s scale.md',
    ),
    Row(r"make torture", 'make torture ARGS="--kills 1"'),
    Row(r"make stress", 'make stress ARGS="--leases 40"'),
    Row(r"make fuzz", 'make fuzz ARGS="--most 10"'),
    Row(r"make reruns", 'make reruns ARGS="-k epochs"'),
    Row(r"make examples", 'make examples ARGS="--collect-only -q"'),
    Row(r"make test-slurm", 'make test-slurm ARGS="--collect-only -q"'),
    Row(r"make commands", 'make commands ARGS="--collect-only -q"'),
    Row(r"make docs", "make docs"),
    Row(r"make format", "make format"),
    Row(r"make lint", "make lint"),
    Row(r"snakemake --lint", "snakemake --lint"),
    Row(r"make test", f'make test CORES=1 ARGS="--collect-only -q {TESTED}"'),
    Row(r"pytest -n 2", f"pytest -n 2 {TESTED}"),
    Row(r"python -m uv pip install pillow-heif", "python -m uv pip install --dry-run pillow-heif", needs="registry"),
    Row(  # and no later target takes .venv, which is a link, for out of date
        r"make lock",
        "make lock && touch -d @0 envs/requirements.txt && grep 'torch==' envs/requirements.txt",
        needs="registry",
    ),
    Row(  # in a folder of its own, with one package instead of 6 GB
        r"make setup",
        "mkdir -p bare/envs && cp Makefile bare && "
        "awk '/^[^ ]/ {on = /^iniconfig==/} on' envs/requirements.txt > bare/envs/requirements.txt && "
        "make -C bare setup && bare/.venv/bin/python -c 'import iniconfig'",
        needs="registry",
    ),
    Row(r"make clean", "make clean && test ! -e results/digits"),
)


def rows_of(command: str) -> list[Row]:
    return [row for row in ROWS if re.fullmatch(row.pattern, command)]


def documented(root: Path) -> list[tuple[str, str]]:
    """(page, command) of everything that a page tells a reader to type, and of every target of the Makefile."""
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    found = []
    for page in pages:
        name = page.relative_to(root).as_posix()
        commands = commands_in(page.read_text(encoding="utf-8"))
        if name.startswith("docs/benchmarks/"):  # records of what was typed once
            commands = [command for command in commands if command.startswith("make ")]
        found += [(name, command) for command in commands if command not in FOREIGN]
    targets = re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return found + [("Makefile", f"make {target}") for target in targets]


def commands_in(text: str) -> list[str]:
    """Commands of a page's fenced blocks and inline code, without their comments; in a `bash` block, every line."""
    found = []

    def taken(block: re.Match) -> str:
        lines = re.sub(r"\\\n\s*", "", block[2]).splitlines()
        typed = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
        found.extend(line for line in typed if line and (block[1] in ("bash", "sh") or COMMAND.fullmatch(line)))
        return ""

    rest = re.sub(r"^```(\w*)\n(.*?)^```", taken, text, flags=re.MULTILINE | re.DOTALL)
    inline = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest))
    return found + [code for code in inline if COMMAND.fullmatch(code)]


def complaint(page: str, command: str) -> str:
    """What is wrong with how a documented command is tested; "" if nothing is."""
    count = len(rows_of(command))
    if count == 1:
        return ""
    return (
        f"{page} offers `{command}`, which {count or 'no'} rows of ROWS in tests/helpers/documented_commands.py match; "
        "it takes exactly one, with a reduced form for `make commands` or the test that executes the command."
    )
