"""From images and a short YAML file to an honest, deployable ensemble. Start with README.md."""

from snakemake.utils import min_version

min_version("9.27")


# Snakemake merges a --configfile over this one, which would add the demo's models to the user's.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# Used with `--sdm apptainer` only; a plain run takes the environment that `make setup` installs.
container: "docker://python:3.11-slim"


include: "rules/common.smk"
include: "rules/gpus.smk"
include: "rules/estimates.smk"


pathvars:
    results=RESULTS,
    # expand() leaves them alone, and so the wildcards in them.
    member="<results>/models/{model}/seed{seed}",
    run="<member>/fold{fold}",


include: "rules/data.smk"
include: "rules/folds.smk"
include: "rules/text.smk"
include: "rules/train.smk"
include: "rules/ensemble.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/export.smk"
include: "rules/student.smk"
include: "rules/variants.smk"
include: "rules/browser.smk"
include: "rules/predict.smk"
include: "rules/checks.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    model="|".join(map(re.escape, MEMBERS)),
    encoder="|".join(map(re.escape, ENCODERS)) or "none",
    seed=r"\d+",
    fold=r"\d+",
    draw=r"\d+",
    check=r"leakcheck|nested/fold\d+|repeated/draw\d+",
    variant="fp16|int8|pruned|student",
    page="predict|variants/(fp16|int8|pruned|student)",


localrules:
    all,
    predict,
    traces,
    variants,
    browser,
    dual,
    leakcheck,
    nested,
    repeated,


rule all:
    """Everything that the config asks for."""
    default_target: True
    input:
        "<results>/evaluation/report.html",
        "<results>/evaluation/summary.txt",
        "<results>/evaluation/leaderboard.html",
        "<results>/evaluation/confusion.svg",
        "<results>/evaluation/calibration.svg",
        "<results>/evaluation/pareto.svg",
        "<results>/evaluation/per_class.html",
        "<results>/evaluation/factors.csv" if CONFIG["grid"] else [],
        "<results>/evaluation/retrieval.csv" if CAPTIONED else [],
        "<results>/evaluation/stages.csv" if CONFIG["stages"] else [],
        "<results>/data/class_counts.svg",
        "<results>/data/duplicates.png",
        "<results>/folds/folds.svg",
        "<results>/evaluation/learning_curves.svg",
        "<results>/evaluation/timings.svg",
        "<results>/export/ensemble.onnx",
        "<results>/export/parity.json",
        "<results>/export/MODEL_CARD.md",
        intermediate_files(),  # so that a run that failed under stack.quorum is tried again
        INTERMEDIATE_EXPORTS,
        "<results>/predictions/predictions.csv" if CONFIG["predict"]["path"] else [],


onstart:
    failed_trace.remove(Path(RESULTS))
    note = note_on_gpus()
    if note:
        logger.info(note)
    check_disk()
    with exit_with_message():
        terminal.watch(logger, workflow.dag, Path(RESULTS), MEMBERS, CONFIG["folds"]["n_splits"])


onsuccess:
    quorum.remove_failed(Path(RESULTS))
    terminal.finish(Path(RESULTS), failed=False)


onerror:
    quorum.remove_failed(Path(RESULTS))
    terminal.finish(Path(RESULTS), failed=True)
