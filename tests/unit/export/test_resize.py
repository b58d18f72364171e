"""foldstack.export.resize: in the graph, images of any size become the very pixels that the data stage stores."""

import numpy as np
import onnxruntime
import pytest
from onnx import checker, helper

from foldstack.data.decode import Geometry, convert
from foldstack.export.resize import fit_graph

SIZES = [(1, 1), (1, 40), (90, 1), (12, 9), (31, 17), (64, 97), (97, 64), (13, 200), (24, 18)]


def session(size, channels, fit, pairs=False):
    graph = fit_graph(size, channels, fit, pairs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString())


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize(("stored", "channels"), [((12, 9), 3), ((28, 28), 1)])
def test_every_pixel_is_pillows(fit, stored, channels):
    opened = session(stored, channels, fit)
    for number, size in enumerate(SIZES):
        images = np.random.default_rng(number).integers(0, 256, (2, *size, channels), dtype=np.uint8)
        expected = convert(images, Geometry(*stored, channels, fit))
        np.testing.assert_array_equal(opened.run(None, {"image": images})[0], expected, err_msg=f"{size}")


def test_pairs_are_fitted_view_by_view():
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 20, 31, 3), dtype=np.uint8)
    expected = convert(images.reshape(-1, 20, 31, 3), Geometry(12, 9, 3, "crop")).reshape(3, 2, 12, 9, 3)
    np.testing.assert_array_equal(session((12, 9), 3, "crop", True).run(None, {"image": images})[0], expected)


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_images_of_the_stored_size_pass_unchanged(fit):
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(session((12, 9), 3, fit).run(None, {"image": images})[0], images)
