"""The exported file as a web page that works without a network (`snakemake browser`); needs npm.

INPUTS   export/ensemble.onnx, or a variant of it
OUTPUTS  export/predict.html; on request export/variants/{variant}.html
"""

from foldstack.export import browser as browser_page


rule browser:
    """The target to ask for: `snakemake browser`."""
    input:
        "<results>/export/predict.html",


rule render_browser_page:
    """One HTML page with the exported file and the runtime for it inside."""
    input:
        onnx=lambda wildcards: f"{RESULTS}/export/{'ensemble' if wildcards.page == 'predict' else wildcards.page}.onnx",
        parity="<results>/export/parity.json",
    output:
        page="<results>/export/{page}.html",
    log:
        "<results>/logs/render_browser_page/{page}.log",
    params:
        code=code("render_browser_page.py"),
        template=browser_page.digest(),
        work=lambda wildcards: f"{RESULTS}/work/browser",
    script:
        "../workflow/scripts/render_browser_page.py"
