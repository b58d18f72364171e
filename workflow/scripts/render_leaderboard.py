"""Render the leaderboard as a page and its accuracies as a figure (rule render_leaderboard)."""

from foldstack.files import read_json, write_text
from foldstack.jobs.job import job
from foldstack.report.figures.leaderboard import draw_intervals
from foldstack.report.leaderboard import read_leaderboard, render_leaderboard


def main(smk):
    with job(smk):
        board = read_leaderboard(smk.input.leaderboard)
        write_text(smk.output.table, render_leaderboard(board, read_json(smk.input.metrics)))
        draw_intervals(board, smk.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
