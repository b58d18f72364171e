"""The training loop of one run: epochs of steps, an inner evaluation after each, and checkpoints.

Every random number depends on the position in the run alone (seeding.py), and everything else that the loop carries is
in `State`; so a run that was stopped after any step ends with the same bytes as one that was not.
"""

import contextlib
import time
from collections.abc import Callable

import numpy as np
import torch

from foldstack.errors import FoldstackError
from foldstack.jobs.tensorboard import EventFile
from foldstack.models.network import Classifier
from foldstack.training import batches as batching
from foldstack.training.checkpoint import Checkpoints, StopSignal
from foldstack.training.distributed import Group
from foldstack.training.losses import log_loss
from foldstack.training.run import Run
from foldstack.training.schedules import learning_rate, peak_rate
from foldstack.training.seeding import balanced_order, epoch_order
from foldstack.training.state import Data, State
from foldstack.training.steps import Stepper

REPORT_SECONDS = 0.5
NORM_EVERY = 8  # steps; for tiny networks on the CPU a norm takes 2 % of a step


class Diverged(FoldstackError):
    """The loss or the predictions of a run are not finite numbers."""


class Loop:
    """One run's training.

    Args:
        run: the run.
        classifier: with its statistics set, on the device that trains.
        data: what it learns from and chooses the epoch by.
        checkpoints: those of this run.
        stop: records signals.
        group: the ranks that train this run together, each with a Loop of its own.
        report: receives progress, or None.
        events: folder of the run's TensorBoard files, or None.
    """

    def __init__(
        self,
        run: Run,
        classifier: Classifier,
        data: Data,
        checkpoints: Checkpoints,
        *,
        stop: StopSignal,
        group: Group,
        report: Callable[..., None] | None = None,
        events=None,
    ):
        self.run, self.config, self.classifier, self.data = run, run.config, classifier, data
        self.checkpoint, self.final_checkpoint = checkpoints
        self.stop, self.report = stop, report
        self.group, self.events = group, EventFile(events) if events and group.is_main else None
        self.stepper = Stepper(run, classifier, data, group)
        self.state, self.trained = State(world_size=group.size), False
        self._plan()
        self._loss = torch.zeros((), dtype=torch.float64, device=classifier.mean.device)
        self._started, self._reported, self._steps_here = time.monotonic(), time.monotonic(), 0

    def run_to_end(self) -> State:
        """Train to the end, from the checkpoint where there is one; leaves the selected weights in the classifier."""
        self._resume()
        with contextlib.closing(self.events) if self.events else contextlib.nullcontext():
            self._tell_events()
            while self.state.epoch < self.config["epochs"] and not self._stops_early():
                self._train_epoch()
                self._end_epoch()
        # Saved now, since from here on the classifier may hold the weights of an earlier epoch.
        if self.group.is_main:
            (self.final_checkpoint or self.checkpoint).save(self._snapshot())
        self.trained = True
        if self.state.selected_weights is not None:
            self.classifier.load_state_dict(self.state.selected_weights)
        else:
            self.state.selected_epoch = len(self.state.history)
            if self.stepper.average:
                self.classifier.load_state_dict(self.stepper.scored.state_dict())
        if not all(bool(torch.isfinite(value).all()) for value in self.classifier.state_dict().values()):
            self._diverge()
        return self.state

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Logits (N, classes) float32 of stored pixels; raises Diverged where they are not finite."""
        scored = (self.classifier if self.trained else self.stepper.scored).eval()
        # Several ranks cannot halve their batches, so they take no more than a training step does.
        most = max(256 if self.group.size == 1 else 1, self.config["batch_size"])
        size = self.state.predict_batch or most
        logits, fitted = self.stepper.attempt(lambda size: self._logits(scored, rows, size), size)
        if fitted < size:
            self.state.predict_batch = fitted
            print(f"memory ran out: predicting {fitted} samples at a time instead of {size}")
        if not np.isfinite(logits).all():
            self._diverge()
        return logits

    def _logits(self, scored: Classifier, rows: np.ndarray, size: int) -> np.ndarray:
        own = self.group.shard(rows)
        logits = np.empty((len(own), len(self.classifier.spec["classes"])), np.float32)
        with torch.inference_mode():
            for start in range(0, -(-len(rows) // self.group.size), size):  # as often on every rank
                some = own[start : start + size]
                self._prefetch(some)
                self._prefetch(own[start + size : start + 2 * size])
                if len(some):
                    logits[start : start + size] = scored(self.data.read(some)).float().cpu().numpy()
                self._save_or_stop()
        return self.group.join(logits, len(rows))

    def seconds(self) -> float:
        """Wall time of this run so far, earlier attempts included."""
        return self.state.seconds + time.monotonic() - self._started

    def _train_epoch(self) -> None:
        """Finish the current epoch, from `state.step` on."""
        state = self.state
        if self.config["sampling"] == "balanced":
            order = balanced_order(self.data.train.labels, self.run.seed, self.run.fold, state.epoch)
        else:
            order = epoch_order(len(self.data.train.ids), self.run.seed, self.run.fold, state.epoch)
        batches = np.array_split(order, self.steps_per_epoch)
        inner_losses = [row["inner_loss"] for row in state.history]
        self._loss.fill_(state.loss_sum)
        self._epoch_started, self._epoch_seen = time.monotonic(), 0
        self.stepper.begin_epoch(state.epoch)
        while state.step < len(batches):
            position = state.epoch * self.steps_per_epoch + state.step
            rate = learning_rate(self.rates, position, self.steps_per_epoch, inner_losses)
            for batch in batches[state.step : state.step + 2]:
                self._prefetch(self.data.train.rows[self.group.shard(batch)])
            self._train_step(batches[state.step], position, rate)
            self._epoch_seen += len(batches[state.step])
            state.step += 1
            self._steps_here += 1
            if self.report and time.monotonic() - self._reported >= REPORT_SECONDS:
                self._tell(self.report)
            self._save_or_stop()

    def _train_step(self, positions: np.ndarray, step: int, rate: float) -> None:
        """One optimizer step, in micro-batches where the config or memory asks for it."""
        how = self.config["batch_size"], self.config["accumulate"], self.state.world_size
        most = batching.part_size(len(positions), *how)
        size = min(most, self.state.micro_batch or most)
        measure = self.state.step % NORM_EVERY == 0
        loss, fitted = self.stepper.step(positions, step, rate, size, measure=measure)
        if fitted < size:
            self.state.micro_batch = fitted
            print(
                f"memory ran out in step {step + 1}: batches of {len(positions)} samples now go through in "
                f"micro-batches of {fitted}, their gradients summed"
            )
        self._loss += loss

    def _end_epoch(self) -> None:
        """Evaluate on the inner split, record the epoch, keep its weights if they are the best so far."""
        state = self.state
        train_loss = float(self._loss) / len(self.data.train.ids)
        if not np.isfinite(train_loss):
            self._diverge()
        measured = self._measured()
        position = state.epoch * self.steps_per_epoch + self.steps_per_epoch - 1
        earlier = [row["inner_loss"] for row in state.history]
        row = {
            "epoch": state.epoch + 1,
            "lr": learning_rate(self.rates, position, self.steps_per_epoch, earlier),
            "train_loss": train_loss,
            "inner_loss": None,
            "inner_accuracy": None,
        }
        if self.data.selection.ids:
            logits = self.predict(self.data.selection.rows)
            row["inner_loss"] = log_loss(logits, self.data.selection.labels)
            row["inner_accuracy"] = float((logits.argmax(axis=1) == self.data.selection.labels).mean())
            if not earlier or row["inner_loss"] < min(earlier):
                state.selected_epoch = state.epoch + 1
                weights = self.stepper.scored.state_dict()
                state.selected_weights = {key: value.detach().cpu().clone() for key, value in weights.items()}
        state.history.append(row)
        state.measured.append(measured)
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        self._loss.zero_()
        if self.report:
            self._tell(self.report)
        self._tell_events()
        self._save_or_stop()

    def _prefetch(self, rows: np.ndarray) -> None:
        prefetch = getattr(self.data.read, "prefetch", None)
        if prefetch and len(rows):
            prefetch(rows)

    def _measured(self) -> dict:
        """Figures of the epoch that has just ended; the device has finished its last step."""
        seconds = max(time.monotonic() - self._epoch_started, 1e-9)
        total, count = self.stepper.norms.tolist()
        self.stepper.norms.zero_()
        norm = total / count if count else None
        return {"time": time.time(), "gradient_norm": norm, "images_per_second": self._epoch_seen / seconds or None}

    def _tell_events(self) -> None:
        if self.events:
            self.events.write([a | b for a, b in zip(self.state.history, self.state.measured, strict=True)])

    def _stops_early(self) -> bool:
        patience, state = self.config["early_stopping"], self.state
        return patience is not None and bool(state.history) and len(state.history) - state.selected_epoch >= patience

    def _save_or_stop(self) -> None:
        """Write the checkpoint where it is due; write it and exit where a signal asked for that."""
        number = self.group.any_signal(self.stop.number)
        if number is None and (self.trained or not self.checkpoint.due):
            return
        if not self.trained and self.group.is_main:
            self.checkpoint.save(self._snapshot())
        if number is not None:
            print(f"stopped by signal {number} in epoch {self.state.epoch + 1}; run the same command to resume")
            raise SystemExit(128 + number)

    def _snapshot(self) -> dict:
        self.state.loss_sum = float(self._loss)
        if not np.isfinite(self.state.loss_sum):
            self._diverge()
        return vars(self.state) | {"seconds": self.seconds()} | self.stepper.state_dict()

    def _plan(self) -> None:
        """Steps and learning rates follow the number of ranks that the run began with, not that it resumes with."""
        n, begun_on = len(self.data.train.ids), self.state.world_size
        batching.check_normalisation(str(self.run), self.classifier, n, self.config, begun_on, self.group.size)
        how = self.config["batch_size"], self.config["accumulate"], begun_on
        self.steps_per_epoch = batching.steps_per_epoch(n, *how)
        self.rates = self.config | {"lr": peak_rate(self.config, self.state.world_size)}

    def _resume(self) -> None:
        """Resume from this run's checkpoint, or continue a finished run of the same settings with fewer epochs."""
        saved, final = self.group.main_first(
            lambda: (self.checkpoint.load(), self.final_checkpoint.load() if self.final_checkpoint else None)
        )
        if final is not None and final["epoch"] > self.config["epochs"]:
            # Of a longer run: this run cannot use it, and must not replace it.
            self.final_checkpoint = final = None
        continues = final is not None and (saved is None or final["epoch"] > saved["epoch"])
        saved = final if continues else saved
        if saved is None:
            return
        self.stepper.load_state_dict(saved)
        self.state = State(**saved)
        self._plan()
        epoch, step = self.state.epoch, self.state.step
        if continues:
            print(f"continues a run of the same settings that ended after {epoch} epochs")
        else:
            print(f"resumed in epoch {epoch + 1} after {step} of {self.steps_per_epoch} steps")
        if self.state.world_size != self.group.size:
            print(f"begun on {self.state.world_size} GPU(s): batch sizes and learning rates stay the same")

    def _tell(self, report: Callable[..., None]) -> None:
        state = self.state
        if not torch.isfinite(self._loss):
            self._diverge()
        now = time.monotonic()
        total = self.config["epochs"] * self.steps_per_epoch
        speed = self._steps_here / max(now - self._started, 1e-9)
        seen = state.step / self.steps_per_epoch * len(self.data.train.ids)
        last = state.history[-1] if state.history else {"train_loss": None, "inner_accuracy": None}
        self._reported = now
        report(
            epoch=state.epoch + 1 if state.step else state.epoch,
            epochs=self.config["epochs"],
            step=state.epoch * self.steps_per_epoch + state.step,
            steps=total,
            train_loss=float(self._loss) / seen if seen else last["train_loss"],
            inner_accuracy=last["inner_accuracy"],
            images_per_second=speed * len(self.data.train.ids) / self.steps_per_epoch,
            seconds_left=(total - state.epoch * self.steps_per_epoch - state.step) / speed if speed else None,
        )

    def _diverge(self) -> None:
        if self.group.is_main:
            self.checkpoint.remove()
        if self.group.is_main and self.final_checkpoint and self.trained:
            self.final_checkpoint.remove()
        raise Diverged(
            f"{self.run} diverged in epoch {min(self.state.epoch + 1, self.config['epochs'])}: its loss, weights "
            f"or predictions are not finite numbers; lower lr (now {self.config['lr']:g}) or raise warmup_epochs for "
            "this model."
        )
