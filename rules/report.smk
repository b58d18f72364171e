"""Scores for people to read: pages and figures, and the report that holds them all.

INPUTS   evaluation/leaderboard.csv, metrics.json and the other tables; oof/*, test/*, stack/*, runs; all figures
OUTPUTS  evaluation/leaderboard.html, confusion.svg, per_class.html, calibration.svg, pareto.svg, report.html
"""


rule render_leaderboard:
    """The leaderboard as a table and as a figure."""
    input:
        leaderboard="<results>/evaluation/leaderboard.csv",
        metrics="<results>/evaluation/metrics.json",
    output:
        table=report(
            "<results>/evaluation/leaderboard.html",
            category="1 Results",
            labels={"figure": "Leaderboard"},
            caption="../workflow/report/leaderboard.rst",
        ),
        figure=report(
            "<results>/evaluation/leaderboard.svg",
            category="1 Results",
            labels={"figure": "Leaderboard (figure)"},
            caption="../workflow/report/leaderboard.rst",
        ),
    log:
        "<results>/logs/render_leaderboard.log",
    params:
        code=code("render_leaderboard.py"),
    script:
        "../workflow/scripts/render_leaderboard.py"


rule plot_confusion:
    """The stack's confusion matrix."""
    input:
        metrics="<results>/evaluation/metrics.json",
    output:
        figure=report(
            "<results>/evaluation/confusion.svg",
            category="1 Results",
            labels={"figure": "Confusion matrix"},
            caption="../workflow/report/confusion.rst",
        ),
    log:
        "<results>/logs/plot_confusion.log",
    params:
        code=code("plot_confusion.py"),
    script:
        "../workflow/scripts/plot_confusion.py"


rule render_per_class:
    """Precision, recall and F1 of each class."""
    input:
        metrics="<results>/evaluation/metrics.json",
    output:
        table=report(
            "<results>/evaluation/per_class.html",
            category="1 Results",
            labels={"figure": "Classes"},
            caption="../workflow/report/per_class.rst",
        ),
    log:
        "<results>/logs/render_per_class.log",
    params:
        code=code("render_per_class.py"),
    script:
        "../workflow/scripts/render_per_class.py"


rule plot_calibration:
    """The confidence of the deployed ensemble against how often it is right."""
    input:
        metrics="<results>/evaluation/metrics.json",
    output:
        figure=report(
            "<results>/evaluation/calibration.svg",
            category="1 Results",
            labels={"figure": "Calibration"},
            caption="../workflow/report/calibration.rst",
        ),
    log:
        "<results>/logs/plot_calibration.log",
    params:
        code=code("plot_calibration.py"),
    script:
        "../workflow/scripts/plot_calibration.py"


rule plot_pareto:
    """Accuracy and cost of fewer models."""
    input:
        metrics="<results>/evaluation/metrics.json",
    output:
        figure=report(
            "<results>/evaluation/pareto.svg",
            category="1 Results",
            labels={"figure": "Accuracy against cost"},
            caption="../workflow/report/pareto.rst",
        ),
    log:
        "<results>/logs/plot_pareto.log",
    params:
        code=code("plot_pareto.py"),
    script:
        "../workflow/scripts/plot_pareto.py"


rule render_report:
    """The report: one HTML file with every figure in it, from the verdict to the hashes."""
    input:
        prepared_inputs("samples", "pixels", "dataset", "folds_summary", "intake"),
        leaderboard="<results>/evaluation/leaderboard.csv",
        metrics="<results>/evaluation/metrics.json",
        oof=member_files("oof"),
        test=member_files("test"),
        stack="<results>/stack/stack.json",
        stack_oof="<results>/stack/oof.arrow",
        runs=run_files("run.json"),
        factors="<results>/evaluation/factors.csv" if CONFIG["grid"] else [],
        retrieval="<results>/evaluation/retrieval.csv" if CAPTIONED else [],
        stages="<results>/evaluation/stages.csv" if CONFIG["stages"] else [],
        figures=(["<results>/evaluation/stages.svg"] if CONFIG["stages"] else [])
        + [
            "<results>/evaluation/leaderboard.svg",
            "<results>/evaluation/confusion.svg",
            "<results>/evaluation/calibration.svg",
            "<results>/evaluation/pareto.svg",
            "<results>/evaluation/learning_curves.svg",
            "<results>/evaluation/timings.svg",
            "<results>/folds/folds.svg",
            "<results>/data/class_counts.svg",
            "<results>/data/contact_sheet.png",
            "<results>/data/duplicates.png",
        ],
    output:
        report=report(
            "<results>/evaluation/report.html",
            category="0 Report",
            labels={"figure": "The whole report on one page"},
            caption="../workflow/report/report.rst",
        ),
    log:
        "<results>/logs/render_report.log",
    benchmark:
        "<results>/benchmarks/render_report.tsv"
    resources:
        **needs("render_report"),
    params:
        code=code("render_report.py"),
        config=decisive_slice(),
        members=configuration.canonical(MEMBERS),
        content=content,
        intake=intake_content,
    script:
        "../workflow/scripts/render_report.py"
