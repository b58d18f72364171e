"""Scores on the out-of-fold predictions and on the test split.

INPUTS   oof/*, test/*, stack/*, runs
OUTPUTS  evaluation/leaderboard.csv, metrics.json, summary.txt; where asked for factors.csv, stages.csv, retrieval.csv
"""


rule evaluate:
    """Score every model, seed, blend and stack."""
    input:
        prepared_inputs("samples", "dataset", "duplicates", "folds", "folds_summary"),
        oof=member_files("oof"),
        test=member_files("test"),
        stack_oof="<results>/stack/oof.arrow",
        stack_test="<results>/stack/test.arrow",
        stack="<results>/stack/stack.json",
        runs=run_files("run.json"),
    output:
        leaderboard="<results>/evaluation/leaderboard.csv",
        metrics="<results>/evaluation/metrics.json",
        summary=report(
            "<results>/evaluation/summary.txt",
            category="1 Results",
            labels={"figure": "Summary (text)"},
            caption="../workflow/report/summary.rst",
        ),
    log:
        "<results>/logs/evaluate.log",
    benchmark:
        "<results>/benchmarks/evaluate.tsv"
    resources:
        **needs("evaluate"),
    params:
        code=code("evaluate.py"),
        config=configuration.canonical(
            {
                "evaluation": CONFIG["evaluation"],
                "members": MEMBERS,
                "near_duplicates": CONFIG["data"]["near_duplicates"],
            }
        ),
        content=content,
    script:
        "../workflow/scripts/evaluate.py"


rule tabulate_factors:
    """What each factor of the config's grids changes, with paired intervals."""
    input:
        prepared_inputs("samples", "dataset"),
        oof=member_files("oof"),
        test=member_files("test"),
        stack="<results>/stack/stack.json",
    output:
        table="<results>/evaluation/factors.csv",
    log:
        "<results>/logs/tabulate_factors.log",
    params:
        code=code("tabulate_factors.py"),
        config=configuration.canonical(
            {"evaluation": CONFIG["evaluation"], "members": MEMBERS, "layout": grid.layout(CONFIG["grid"])}
        ),
        content=content,
    script:
        "../workflow/scripts/tabulate_factors.py"


rule tabulate_stages:
    """The scores of the stack of all models so far, stage by stage."""
    input:
        prepared_inputs("samples", "dataset"),
        oof=member_files("oof"),
        test=member_files("test"),
        stack="<results>/stack/stack.json",
    output:
        table="<results>/evaluation/stages.csv",
        figure=report(
            "<results>/evaluation/stages.svg",
            category="1 Results",
            labels={"figure": "Stage by stage"},
            caption="../workflow/report/stages.rst",
        ),
    log:
        "<results>/logs/tabulate_stages.log",
    params:
        code=code("tabulate_stages.py"),
        config=configuration.canonical(
            {
                **{key: CONFIG[key] for key in ("stages", "stack", "evaluation")},
                "members": MEMBERS,
            }
        ),
        content=content,
    script:
        "../workflow/scripts/tabulate_stages.py"


rule tabulate_retrieval:
    """How well held-out images find their captions and captions their images."""
    input:
        prepared_inputs("samples", "dataset"),
        runs=run_files("run.json", CAPTIONED) if CAPTIONED else [],
        oof=run_files("oof.arrow", CAPTIONED) if CAPTIONED else [],
        test=run_files("test.arrow", CAPTIONED) if CAPTIONED else [],
    output:
        table="<results>/evaluation/retrieval.csv",
    log:
        "<results>/logs/tabulate_retrieval.log",
    params:
        code=code("tabulate_retrieval.py"),
        config=configuration.canonical(CONFIG["evaluation"]),
        content=content,
    script:
        "../workflow/scripts/tabulate_retrieval.py"
