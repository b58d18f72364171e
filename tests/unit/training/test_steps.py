"""What a step can do besides: a mean of the weights, clipping, accumulation, frozen layers, balanced batches."""

import json

import numpy as np
import pytest
import torch
from training_inputs import read_bytes, run_of, train, write_inputs

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.folds.split import split_ids
from foldstack.models.network import Classifier, load_classifier
from foldstack.training import checkpoint, compiled, loop, seeding, steps
from foldstack.training.distributed import Group
from foldstack.training.ema import Average
from foldstack.training.state import Data, Subset

SPEC = {"architecture": "small_cnn", "options": {"width": 4, "dropout": 0.0}, "channels": 1, "task": "images"}
SPEC |= {"image_size": [8, 8], "store_size": [8, 8], "classes": ["a", "b"]}
EVERYTHING = {
    "optimizer": "adabelief",
    "schedule": "tanh",
    "loss": "bce",
    "class_weights": "effective",
    "sampling": "balanced",
    "accumulate": 2,
    "batch_size": 8,
    "head_only_epochs": 1,
    "ema_decay": 0.9,
    "clip_norm": 0.5,
    "augment": {"crop": 0.5, "blur": 0.5, "noise": 0.05, "policy": "trivialaugment", "mixup": 0.4, "cutmix": 1.0},
}
PLAIN = {"optimizer": "sgd", "momentum": 0.0, "augmentation": "none", "lr": 0.1, "precision": "float32"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    def make_rare(samples, _stored):
        samples["label"] = (np.arange(len(samples)) % 8 == 1).astype(int)

    return write_inputs(tmp_path_factory.mktemp("inputs"), change=make_rare)


def stepper(classifier=None, **config):
    torch.manual_seed(0)
    classifier = classifier or Classifier(SPEC)
    pixels = torch.randint(0, 256, (12, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    subset = Subset([str(i) for i in range(12)], np.arange(12), np.arange(12) % 2)
    read = lambda rows: pixels[torch.from_numpy(rows)]  # noqa: E731
    return steps.Stepper(run_of(fold=0, **PLAIN | config), classifier, Data(read, subset, subset), Group())


def weights(classifier):
    return {name: value.clone() for name, value in classifier.state_dict().items()}


def test_everything_at_once_ends_with_the_same_bytes_after_crashes(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))

    def crash_at(step):
        def report(**fields):
            if fields["step"] == step:
                raise ConnectionError("pulled the plug")

        return report

    whole = train(inputs, tmp_path / "whole", **EVERYTHING)
    for step in (2, 4, 7):
        with pytest.raises(ConnectionError):
            train(inputs, tmp_path / "parts", report=crash_at(step), **EVERYTHING)
    assert read_bytes(train(inputs, tmp_path / "parts", **EVERYTHING)) == read_bytes(whole)
    assert json.loads(whole["run"].read_text())["effective_batch"] == 16
    without = train(inputs, tmp_path / "without", **EVERYTHING | {"ema_decay": None})
    assert without["weights"].read_bytes() != whole["weights"].read_bytes()
    assert not any(p.requires_grad is False for p in load_classifier(whole["weights"]).parameters())


@pytest.mark.parametrize("selection", ["inner", "final"])
def test_the_mean_of_the_weights_is_what_is_kept(inputs, tmp_path, monkeypatch, selection):
    kept = []
    update = Average.update

    def noting(self, step):
        update(self, step)
        kept.append(weights(self.classifier))

    monkeypatch.setattr(Average, "update", noting)
    outputs = train(inputs, tmp_path, selection=selection, ema_decay=0.8, epochs=1)
    for name, value in load_classifier(outputs["weights"]).state_dict().items():
        assert torch.equal(value, kept[-1][name]), name


def test_the_mean_follows_its_formula():
    classifier = Classifier(SPEC)
    mean = Average(classifier, 0.5)
    start = weights(classifier)
    for value in classifier.state_dict().values():
        value.add_(1)
    mean.update(1)  # 1 - (1 + 1) / (10 + 1) of the way
    mean.update(1000)  # half of the rest
    for name, value in mean.classifier.state_dict().items():
        moved = 1 if not value.is_floating_point() else 1 - 2 / 11 * 0.5
        torch.testing.assert_close(value, start[name] + moved)
    assert not mean.classifier.training


def test_gradients_are_clipped_to_the_norm():
    moved = {}
    for norm in (None, 0.01):
        taking = stepper(clip_norm=norm, weight_decay=0.0)
        before = weights(taking.classifier)
        taking.step(np.arange(12), 0, 1.0, 12)
        changes = [value.detach() - before[name] for name, value in taking.classifier.named_parameters()]
        moved[norm] = torch.cat([change.flatten() for change in changes]).norm()
    assert moved[None] > 0.02
    assert moved[0.01] == pytest.approx(0.01, rel=1e-3)


def test_accumulated_batches_are_one_batch(inputs, tmp_path, monkeypatch):
    """Without batch normalisation the parts of a batch give the gradients of the whole."""
    monkeypatch.setattr(torch.nn, "BatchNorm2d", lambda channels: torch.nn.GroupNorm(1, channels))
    model = {"architecture": "small_vit", "options": {"width": 16, "dropout": 0.0}, "epochs": 2}
    parts = train(inputs, tmp_path / "parts", **PLAIN, **model, batch_size=8, accumulate=2)
    whole = train(inputs, tmp_path / "whole", **PLAIN, **model, batch_size=16)
    for name, value in load_classifier(parts["weights"]).state_dict().items():
        torch.testing.assert_close(value, load_classifier(whole["weights"]).state_dict()[name], atol=1e-5, rtol=1e-4)
    assert json.loads(parts["run"].read_text())["micro_batch"] is None


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_only_the_head_learns_at_first_and_then_all(optimizer):
    taking = stepper(head_only_epochs=1, optimizer=optimizer, weight_decay=0.5)
    head = {f"architecture.{name}" for name, _ in taking.classifier.architecture.named_parameters()}
    head = {name for name in head if taking.classifier.get_submodule(name.rpartition(".")[0]) is taking.head}
    assert len(head) == 2
    for epoch in (0, 1):
        before = weights(taking.classifier)
        taking.begin_epoch(epoch)
        taking.step(np.arange(12), epoch, 0.1, 12)
        changed = {name for name, value in taking.classifier.state_dict().items() if not value.equal(before[name])}
        assert (changed == head) == (epoch == 0)
    assert len(changed) > len(head)


def test_what_an_architecture_keeps_as_it_is_stays_so_after_the_first_epochs():
    torch.manual_seed(0)
    classifier = Classifier(SPEC | {"architecture": "airbench", "options": {"widths": [4, 4, 4], "stem": 4}})
    fixed = {name for name, value in classifier.named_parameters() if not value.requires_grad}
    taking = stepper(classifier, head_only_epochs=1)
    for epoch in (0, 1):
        taking.begin_epoch(epoch)
        taking.step(np.arange(12), epoch, 0.1, 12)
        still = {name for name, value in classifier.named_parameters() if not value.requires_grad}
        assert still > fixed if epoch == 0 else still == fixed
    assert fixed


def test_balanced_epochs_hold_every_class_equally_often():
    labels = np.array([0] * 70 + [1] * 20 + [2] * 7)
    orders = [seeding.balanced_order(labels, 0, 0, epoch) for epoch in range(3)]
    for order in orders:
        assert len(order) == len(labels)
        assert sorted(np.bincount(labels[order])) == [32, 32, 33]
        rare = np.bincount(order, minlength=97)[90:]
        assert rare.max() - rare.min() <= 1
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], seeding.balanced_order(labels, 0, 0, 0))
    assert set(orders[0]) != set(orders[1])  # of the frequent class others are left out


@pytest.mark.parametrize("selection", ["inner", "final"])
def test_oversampling_draws_from_the_runs_own_samples_alone(inputs, tmp_path, monkeypatch, selection):
    gradients, drawn = steps.Stepper._gradients, []

    def spied(self, positions, step, size):
        read = self.read
        self.read = lambda rows: (drawn.append(rows), read(rows))[1]
        try:
            return gradients(self, positions, step, size)
        finally:
            self.read = read

    monkeypatch.setattr(steps.Stepper, "_gradients", spied)
    outputs = train(inputs, tmp_path, sampling="balanced", selection=selection)
    own, inner, held_out = split_ids(tables.read_folds(inputs["folds"]), 1, selection)
    samples = tables.read_samples(inputs["samples"]).set_index("row")
    seen = samples.loc[np.concatenate(drawn)]
    assert len(seen) == 3 * len(own)  # epochs
    assert set(seen["sample_id"]) <= set(own)
    assert seen["label"].mean() == 0.5
    rare = samples[samples["sample_id"].isin([*inner, *held_out]) & (samples["label"] == 1)]
    assert len(rare)  # there was something to copy from the wrong side
    assert seen["sample_id"].value_counts().max() > 3  # and copies were made
    assert json.loads(outputs["run"].read_text())["train_ids"] == tables.ids_digest(own)


def test_a_compiled_run_learns_the_same_and_resumes_to_the_same_bytes(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))
    traced = []

    def backend(graph, example):
        traced.append(graph)
        return graph.forward

    def report(**fields):
        if fields["step"] == 4:
            raise ConnectionError

    monkeypatch.setattr(compiled, "BACKEND", backend)
    plain = train(inputs, tmp_path / "plain")
    assert not traced
    with pytest.raises(ConnectionError):
        train(inputs, tmp_path / "run", compile=True, report=report)
    assert traced
    torch._dynamo.reset()
    resumed = train(inputs, tmp_path / "run", compile=True)
    assert read_bytes(resumed) == read_bytes(plain)  # this backend computes what torch does without it


def test_where_nothing_can_be_compiled_the_remedy_is_named(inputs, tmp_path, monkeypatch):
    def backend(graph, example):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(compiled, "BACKEND", backend)
    torch._dynamo.reset()
    with pytest.raises(FoldstackError, match=r"'small_cnn' cannot be compiled.*compiler found.*compile: false"):
        train(inputs, tmp_path, compile=True)
