"""Render the leaderboard as a page and its accuracies as a figure (rule render_leaderboard)."""

from foldstack.files import read_json, write_text
from foldstack.jobs.job import job
from foldstack.report.figures.leaderboard import draw_intervals
from foldstack.report.leaderboard import read_leaderboard, render_leaderboard


def main(snakemake):
    with job(snakemake):
        board = read_leaderboard(snakemake.input.leaderboard)
        write_text(snakemake.output.table, render_leaderboard(board, read_json(snakemake.input.metrics)))
        draw_intervals(board, snakemake.output.figure)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
