"""One HTML page that runs an exported file in a browser (rule render_browser_page)."""

from pathlib import Path

from foldstack.export import browser
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        browser.write_page(snakemake.input.onnx, browser.install(snakemake.params.work), snakemake.output.page)
        print(f"{Path(snakemake.output.page).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
