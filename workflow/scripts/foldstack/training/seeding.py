"""Random numbers by position: what is drawn depends on (seed, fold, position), not on what was drawn before.

So a run that is resumed at any step goes on with the same numbers as without the interruption.
"""

import numpy as np
import torch

WEIGHTS, ORDER, STEP, STATISTICS = range(4)


def seed_weights(seed: int, fold: int) -> None:
    """Seed torch for drawing the initial weights of a run."""
    torch.manual_seed(_derive(seed, fold, WEIGHTS, 0))


def seed_step(seed: int, fold: int, step: int, rank: int = 0) -> None:
    """Seed torch for augmentation and dropout of one optimizer step, counted over the whole run, on one rank."""
    torch.manual_seed(_derive(seed, fold, STEP, step, *([rank] if rank else [])))


def epoch_order(n: int, seed: int, fold: int, epoch: int) -> np.ndarray:
    """A permutation of range(n), int64: the order of the training samples in one epoch."""
    return np.random.default_rng((seed, fold, ORDER, epoch)).permutation(n)


def balanced_order(labels: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """As many positions (N,) int64 in `labels`, of which each class has as many as any other, up to one.

    A sample of a rare class comes several times in an epoch, as often as any other of its class, up to one; of a
    frequent class some are left out, others in each epoch.
    """
    random = np.random.default_rng((seed, fold, ORDER, epoch))
    classes = random.permutation(np.unique(labels))
    chosen = []
    for number, name in enumerate(classes):
        own = np.flatnonzero(labels == name)
        wanted = len(labels) // len(classes) + (number < len(labels) % len(classes))
        rounds = [random.permutation(own) for _ in range(-(-wanted // len(own)))]
        chosen.append(np.concatenate([*rounds, own[:0]])[:wanted])
    return random.permutation(np.concatenate(chosen))


def statistics_sample(n: int, limit: int, seed: int, fold: int) -> np.ndarray:
    """Sorted positions, int64, of at most `limit` of n training samples."""
    chosen = np.random.default_rng((seed, fold, STATISTICS)).choice(n, size=min(n, limit), replace=False)
    return np.sort(chosen)


def _derive(*position: int) -> int:
    return int(np.random.SeedSequence(position).generate_state(1, np.uint64)[0])
