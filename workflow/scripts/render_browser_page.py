"""One HTML page that runs an exported file in a browser (rule render_browser_page)."""

from pathlib import Path

from foldstack.export import browser
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        browser.write_page(smk.input.onnx, browser.install(smk.params.work), smk.output.page)
        print(f"{Path(smk.output.page).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
