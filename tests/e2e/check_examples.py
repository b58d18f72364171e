"""`make examples`: every example runs from its data to the checked one file, in a reduced form.

Not a part of `make test`, hence the name: a quarter of an hour on two cores.
"""

import pytest
from example_inputs import SMALL, read_example, reduced, write_inputs

from foldstack.files import read_json


@pytest.mark.parametrize("example", SMALL, ids=lambda path: path.stem)
def test_an_example_runs_end_to_end(example, project):
    made = project(reduced(read_example(example)))
    write_inputs(made.config, made.folder)
    made.run(timeout=3600)
    assert (made.results / "evaluation" / "report.html").stat().st_size > 100_000
    assert (made.results / "export" / "ensemble.onnx").exists()
    assert read_json(made.results / "export" / "parity.json")["passed"]
    assert (made.results / "evaluation" / "stages.csv").exists() == ("stages" in made.config)
    assert (made.results / "evaluation" / "factors.csv").exists() == ("grid" in made.config)
