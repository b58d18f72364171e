"""foldstack.data.near and duplicates: what counts as nearly equal, found against brute force, kept together."""

import io

import numpy as np
import pytest
from data_config import DATA
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from foldstack import tables
from foldstack.data.near import descriptors, low_frequencies, near_pairs
from foldstack.data.prepare import prepare
from foldstack.data.ties import components, links
from foldstack.errors import FoldstackError
from foldstack.folds.assign import assign
from foldstack.report.figures.duplicates import draw_duplicates


def photos(count, size=64, channels=3):
    """Smooth random colour images, uint8 (count, size, size, channels)."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(count, size, size, channels)), (0, 4, 4, 0))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def jpeg(image, quality=75):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def found(images, threshold=0.1):
    pairs, distances = near_pairs(low_frequencies(images), lambda rows: images[rows], threshold)
    return pairs.tolist(), distances


CHANGES = {
    "saved as JPEG": jpeg,
    "half the size": lambda image: np.asarray(Image.fromarray(image).resize((32, 32)).resize((64, 64))),
    "brighter": lambda image: (image * 0.8 + 40).astype(np.uint8),
    "noise": lambda image: np.clip(
        image + np.random.default_rng(1).normal(0, 3, image.shape), 0, 255
    ).astype(np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_photo_in_another_form_is_found(change):
    images = photos(20)
    images[13] = CHANGES[change](images[4])
    assert found(images)[0] == [[4, 13]]


def test_the_search_finds_what_brute_force_finds():
    digits = np.rint(load_digits().images[:400, :, :, None] * 255 / 16).astype(np.uint8)
    flat = descriptors(digits).reshape(400, -1)
    distances = np.sqrt(np.square(flat[:, None] - flat[None]).sum(axis=-1))
    expected = [[i, j] for i, j in np.argwhere(distances <= 0.25) if i < j]
    pairs, measured = found(digits, 0.25)
    assert pairs == expected
    assert len(pairs) > 20
    assert np.allclose(measured, [distances[i, j] for i, j in pairs])


@pytest.mark.parametrize("size", [(8, 8), (33, 47), (64, 100), (224, 96), (257, 300), (40, 320)])
def test_a_descriptor_is_made_of_the_means_of_areas(size):
    images = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    small = images.astype(np.float64)
    for axis in (1, 2):
        parts = np.split(small, np.arange(1, 32) * small.shape[axis] // 32, axis) if small.shape[axis] > 32 else None
        small = small if parts is None else np.stack([part.mean(axis=axis) for part in parts], axis)
    expected = small - small.mean(axis=(1, 2, 3), keepdims=True)
    expected /= np.sqrt(np.square(expected).sum(axis=(1, 2, 3), keepdims=True))
    assert np.allclose(descriptors(images), expected, atol=1e-13)


def test_the_number_of_threads_changes_nothing():
    images = photos(600, size=32)
    images[300:] = np.clip(images[:300] + np.random.default_rng(0).normal(0, 3, images[:300].shape), 0, 255)
    one, three = (near_pairs(low_frequencies(images), lambda rows: images[rows], 0.1, threads) for threads in (1, 3))
    assert len(one[0]) >= 300
    assert np.array_equal(one[0], three[0])
    assert np.array_equal(one[1], three[1])


def test_simple_small_images_are_not_tied_by_the_default():
    digits = np.rint(load_digits().images[..., None] * 255 / 16).astype(np.uint8)
    assert found(digits)[0] == []


def test_flat_images_are_near_to_nothing():
    images = np.full((10, 16, 16, 1), 128, np.uint8) + np.random.default_rng(0).integers(
        0, 2, (10, 16, 16, 1), np.uint8
    )
    assert found(images)[0] == []
    assert found(images[:1])[0] == []


def test_a_threshold_that_takes_all_for_equal_is_refused():
    images = np.clip(photos(1) + np.random.default_rng(0).normal(0, 2, (60, 64, 64, 3)), 0, 255).astype(np.uint8)
    with pytest.raises(FoldstackError, match=r"near_duplicates 0.1 finds more than .* among 60; lower it"):
        found(images)


def prepared(folder, **config):
    names = {"samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json"}
    names |= {"quarantine": "quarantine.csv", "pairs": "duplicates.parquet", "intake": "intake.json"}
    out = {key: folder / "out" / name for key, name in names.items()}
    summary = prepare(DATA | {"format": "npz", "path": str(folder)} | config, **out)
    return summary, tables.read_samples(out["samples"]), tables.read_duplicates(out["pairs"])


def test_a_cut_and_the_folds_keep_near_duplicates_together(tmp_path):
    originals = photos(40)
    x = np.concatenate([originals, [jpeg(image) for image in originals]])
    np.savez(tmp_path / "train.npz", x=x, y=np.arange(80) % 2)
    summary, samples, pairs = prepared(tmp_path)
    assert len(pairs) == 40
    assert summary["near_duplicates"]["train_test"] == 0
    by_id = samples.set_index("sample_id")["split"]
    assert (by_id[pairs["first"]].to_numpy() == by_id[pairs["second"]].to_numpy()).all()
    config = {"strategy": "stratified", "n_splits": 4, "inner_splits": 3, "seed": 0}
    folds = assign(samples, summary["classes"], pairs, **config)[0].set_index("sample_id")
    training = pairs[pairs["first_split"] == "train"]
    assert summary["near_duplicates"]["train"] == len(training) > 20
    for column in ("fold", "inner"):
        assert np.array_equal(folds.loc[training["first"], column], folds.loc[training["second"], column])
    alone = assign(samples, summary["classes"], pairs.iloc[:0], **config)[0].set_index("sample_id")
    assert not np.array_equal(alone.loc[training["first"], "fold"], alone.loc[training["second"], "fold"])


def test_pairs_across_given_splits_are_counted_and_named(tmp_path):
    x = photos(24)
    np.savez(tmp_path / "train.npz", x=x[:20], y=np.arange(20) % 2)
    np.savez(tmp_path / "test.npz", x=np.stack([jpeg(x[3]), x[5], x[22], x[23]]), y=[1, 1, 0, 1])
    summary, _, pairs = prepared(tmp_path)
    assert summary["near_duplicates"] == {"train": 0, "train_test": 1}
    assert summary["duplicates"] == {"train": 0, "train_test": 1}
    assert summary["images_in_both_splits"] == 1
    across = pairs[pairs["first_split"] != pairs["second_split"]].set_index("second")
    assert across["first"].to_dict() == {"train/000003": "test/000000", "train/000005": "test/000001"}
    assert across.loc["train/000005", "distance"] == 0
    assert 0 < across.loc["train/000003", "distance"] < 0.1
    off = prepared(tmp_path, near_duplicates=0)
    assert off[0]["near_duplicates"] == {"train": 0, "train_test": 0}
    assert len(off[2]) == 1


def test_the_picture_of_the_pairs(tmp_path):
    x = photos(24)
    np.savez(tmp_path / "train.npz", x=np.concatenate([x, [jpeg(image) for image in x[:9]]]), y=np.arange(33) % 2)
    np.savez(tmp_path / "test.npz", x=x[3:5], y=[1, 0])
    summary, samples, pairs = prepared(tmp_path)
    pixels = np.load(tmp_path / "out" / "pixels.npy")
    sizes = []
    for shown in (pairs, pairs.iloc[:0]):
        draw_duplicates(shown, samples, pixels, summary, tmp_path / "pairs.png")
        with Image.open(tmp_path / "pairs.png") as picture:
            sizes.append(picture.size)
            colours = len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))
        assert colours > 2000 if len(shown) else colours < 1000
    assert sizes[0][1] > sizes[1][1]


def test_pairs_of_images_are_tied_by_a_shared_and_by_a_nearly_equal_image(tmp_path):
    x = photos(30, size=32, channels=1)
    xa, xb = x[:12], x[12:24].copy()
    xb[1] = xa[0]  # pairs 0 and 1 share an image
    xb[2] = np.clip(xa[5] + np.random.default_rng(0).normal(0, 2, xa[5].shape), 0, 255)  # 2 and 5 nearly do
    np.savez(tmp_path / "train.npz", xa=xa, xb=xb, y=np.arange(12) % 2)
    np.savez(tmp_path / "test.npz", xa=x[24:27], xb=np.stack([x[27], x[28], xa[7]]), y=[0, 1, 0])
    summary, samples, pairs = prepared(tmp_path, format="npz_pairs")
    assert summary["images_in_both_splits"] == 1
    assert pairs[["first", "second", "first_view", "second_view"]].to_numpy().tolist() == [
        ["train/000002", "train/000005", 1, 0]
    ]
    training = samples[samples["split"] == "train"]
    tied = components(training["group"], training["view_hashes"], links(training["sample_id"], pairs))
    together = {tuple(np.flatnonzero(tied == i)) for i in range(tied.max() + 1)}
    assert {(0, 1), (2, 5)} <= together
    assert len(together) == 10


def test_many_identical_samples_give_few_rows(tmp_path):
    x = photos(30, size=16)
    x[:10] = x[0]
    np.savez(tmp_path / "train.npz", x=x, y=np.arange(30) % 2)
    summary, _, pairs = prepared(tmp_path)
    assert summary["duplicates"]["train"] + summary["duplicates"]["train_test"] == 45
    assert len(pairs) == 9


def test_a_copy_that_is_merely_brighter_counts_as_nearly_equal(tmp_path):
    """Its distance is 0, since brightness is evened out, but its pixels are others."""
    x = photos(8, size=16) // 2
    np.savez(tmp_path / "train.npz", x=x, y=np.arange(8) % 2)
    np.savez(tmp_path / "test.npz", x=x[:1] + 20, y=[1])
    summary, _, pairs = prepared(tmp_path)
    assert pairs["distance"].tolist() == [0]
    assert summary["near_duplicates"] == {"train": 0, "train_test": 1}
    assert summary["duplicates"] == {"train": 0, "train_test": 0}
    assert summary["two_labels"] == {"identical": 0, "near": 1, "pairs": [["test/000000", "train/000000"]]}
