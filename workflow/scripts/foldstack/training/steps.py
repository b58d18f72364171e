"""Optimizer steps of a run: read and augment a batch, compute its gradients, update the weights."""

import numpy as np
import torch
from torch import nn

from foldstack.models.network import Classifier, head_of
from foldstack.training import batches as batching
from foldstack.training.augment import augment, mix, recipe, swap_sides
from foldstack.training.compiled import compiled
from foldstack.training.distributed import Group
from foldstack.training.ema import Average
from foldstack.training.losses import build_loss
from foldstack.training.memory import Buffers, at_once, in_halves
from foldstack.training.optimizers import build_optimizer, set_learning_rate
from foldstack.training.precision import Precision
from foldstack.training.run import Run
from foldstack.training.seeding import seed_step
from foldstack.training.state import Data


class Stepper:
    """Takes steps on the training samples of one run.

    Args:
        run: the run.
        classifier: with its statistics set, on the device that trains.
        data: what it learns from.
        group: the ranks that train together, each with a Stepper of its own.

    Attributes:
        average: the running mean of the weights, or None.
        scored: the network to evaluate while training: `average`'s, else the one that trains.
        norms: of the gradients of measured steps, before clipping: their sum and number (where it was finite).
    """

    def __init__(self, run: Run, classifier: Classifier, data: Data, group: Group):
        config, train = run.config, data.train
        self.classifier, self.read, self.train, self.config = classifier, data.read, train, config
        self.seed, self.fold, self.group = run.seed, run.fold, group
        self.attempt = in_halves if group.size == 1 else at_once
        self.recipe = recipe(config["augmentation"], config["augment"])
        self.head = head_of(classifier) if config["head_only_epochs"] else None
        self.learnt = [value for value in classifier.parameters() if value.requires_grad]
        self.network = compiled(classifier) if config["compile"] else group.network(classifier)
        self.optimizer = build_optimizer(classifier, config)
        self.device = classifier.mean.device
        counts = np.bincount(train.labels, minlength=len(classifier.spec["classes"]))
        self.loss = build_loss(config, counts, self.device)
        self.precision = Precision(config["precision"], self.device)
        self.targets = torch.from_numpy(train.targets).to(self.device)
        self.average = None if config["ema_decay"] is None else Average(classifier, config["ema_decay"])
        self.scored = self.average.classifier if self.average else classifier
        self.buffers = Buffers(classifier)
        self.norms = torch.zeros(2, dtype=torch.float64, device=self.device)

    def begin_epoch(self, epoch: int) -> None:
        """Set training mode; in the first `head_only_epochs` all but the head is frozen, statistics included."""
        self.classifier.train()
        if self.head is None:
            return
        frozen = epoch < self.config["head_only_epochs"]
        self.classifier.train(not frozen)
        self.head.train()
        last = set(map(id, self.head.parameters()))
        for value in self.learnt:  # parameters that the architecture freezes stay frozen
            value.requires_grad_(not frozen or id(value) in last)

    def step(
        self, positions: np.ndarray, step: int, rate: float, size: int, *, measure: bool = False
    ) -> tuple[torch.Tensor, int]:
        """One optimizer step, at most `size` samples at a time, fewer where memory asks for it.

        Args:
            positions: of the step's samples in the training subset.
            step: 0-based, counted over the whole run.
            measure: add the norm of the gradients to `norms`.

        Returns:
            The loss (float64) summed over the batch, on all ranks, and the number of samples at a time that fitted.
        """
        set_learning_rate(self.optimizer, rate)
        self.buffers.remember()
        loss, fitted = self.attempt(lambda size: self._gradients(positions, step, size), size, undo=self.buffers.reset)
        if measure:
            self._measure()
        if self.config["clip_norm"] is not None:
            self.precision.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.classifier.parameters(), self.config["clip_norm"])
        self.precision.step(self.optimizer)
        self.group.average_statistics(self.classifier)
        if self.average:
            self.average.update(step + 1)
        return self.group.sum(loss), fitted

    def state_dict(self) -> dict:
        """What a checkpoint needs besides the run's State."""
        saved = {
            "classifier": self.classifier.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "norms": self.norms,
        }
        return saved | ({"average": self.average.classifier.state_dict()} if self.average else {})

    def load_state_dict(self, saved: dict) -> None:
        """Go on from a `state_dict`, whose entries are removed from `saved`."""
        self.classifier.load_state_dict(saved.pop("classifier"))
        self.optimizer.load_state_dict(saved.pop("optimizer"))
        self.precision.scaler.load_state_dict(saved.pop("scaler"))
        self.norms.copy_(saved.pop("norms"))
        if self.average:
            self.average.classifier.load_state_dict(saved.pop("average"))

    def _measure(self) -> None:
        """Add the gradients' norm to `norms` on the device, so that the next step need not wait for it."""
        gradients = [parameter.grad for parameter in self.classifier.parameters() if parameter.grad is not None]
        scale = self.precision.scaler.scale(torch.ones((), device=self.device))
        norm = (nn.utils.get_total_norm(gradients) / scale).double()
        finite = torch.isfinite(norm)
        self.norms += torch.stack([norm.where(finite, torch.zeros_like(norm)), finite.double()])

    def _gradients(self, positions: np.ndarray, step: int, size: int) -> torch.Tensor:
        """Gradients of the batch's mean loss, at most `size` samples at a time.

        The batch is augmented as a whole, so that each of its samples changes as it would without micro-batches.

        Returns:
            The loss (float64) summed over this rank's part of the batch.
        """
        seed_step(self.seed, self.fold, step, self.group.rank)
        own = self.group.shard(positions)
        # A rank without samples processes two with weight 0, since the others wait for its gradients.
        weight, own = (1, own) if len(own) else (0, positions[:2])
        images = augment(self.classifier.to_float(self.read(self.train.rows[own])), self.recipe)
        targets = self.targets[torch.from_numpy(own).to(self.device)]
        captions: tuple[torch.Tensor, ...] = ()
        if self.train.captions is not None:
            captions, targets = self.train.captions.of(own)
        if self.config["swap"]:
            images, targets = swap_sides(images, targets)
        images, targets = mix(images, targets, self.recipe, len(self.classifier.spec["classes"]))
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        parts = batching.parts(len(own), size)
        for i, (some, wanted) in enumerate(zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True)):
            with self.group.sync_gradients(self.network, last=i == parts - 1):
                with self.precision.forward():
                    loss = self.loss(self.network(some, *captions), wanted)
                # The ranks' gradients are averaged, hence times their number.
                self.precision.backward(loss * (weight * self.group.size * len(wanted) / len(positions)))
            total += loss.detach().double() * (weight * len(wanted))
        return total
