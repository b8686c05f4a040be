"""One decoder's training: its recipe, its state and its checkpoint; `train_decoder.py` drives several at once."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from ..decoders import cache as decoders
from ..decoders.architecture import Decoder
from ..errors import InfodiscardError

WARM_UP = 0.1  # share of the steps in which the learning rate rises
EXPLODED = 20.0  # times the loss of a decoder that answers nothing but zeros


@dataclass(frozen=True)
class DecoderRecipe:
    """What fixes the training of a decoder: the same recipe for the same images and layer gives the same weights.

    Attributes:
        samples: how many of the images to use, from the first; `None` for all.
        epochs: passes over them.
        batch_size: images per step.
        seed: of the initial weights, the validation split and the order of images.
        lr: peak learning rate; it rises linearly and falls along a cosine.
        weight_decay: of every parameter, decoupled from the gradient.
        width: channels of the decoder at the input's full size.
        bf16: whether the decoder is trained in bfloat16 (slower on processors without units for it).
        validation_share: share of the images that are held out to choose the epoch whose weights are kept.
        patience: epochs without a better validation loss after which the training ends.
        half: whether the weights are written in 16 bits, for a file of half the size.
    """

    samples: int | None = None
    epochs: int = 5
    batch_size: int = 32
    seed: int = 0
    lr: float = 8e-3
    weight_decay: float = 1e-4
    width: int = 16
    bf16: bool = False
    validation_share: float = 0.05
    patience: int = 3
    half: bool = False

    def __post_init__(self) -> None:
        for what in ("epochs", "batch_size", "lr", "width", "patience"):
            if not getattr(self, what) > 0:
                raise InfodiscardError(f"{what} is {getattr(self, what)}; give a number above 0.")
        if not 0 < self.validation_share < 1 or self.weight_decay < 0:
            raise InfodiscardError(
                "Give a validation share between 0 and 1, such as 0.05, and a weight decay of 0 or more."
            )


_PROGRESS = ("epoch", "loss", "validation", "best", "best_state", "stale")


@dataclass
class Course:
    """The training of one layer's decoder.

    Attributes:
        layer: address.
        decoder: what is trained.
        file: where it goes in the end.
        checkpoint: where its state lies until then.
        optimizer: made when the decoder is on its device.
        resumed: the optimiser's state in the checkpoint; `None` if there was no checkpoint.
        epoch: how many have been finished.
        loss: training loss of the last one.
        validation: validation loss likewise.
        best: least validation loss so far.
        best_state: parameters that had it.
        stale: epochs since then.
        trouble: why it was stopped; empty if it was not.
        sums: loss × images and images, within an epoch.
    """

    layer: str
    decoder: Decoder
    file: Path
    checkpoint: Path
    optimizer: torch.optim.Optimizer | None = None
    resumed: dict[str, Any] | None = None
    epoch: int = 0
    loss: float = math.nan
    validation: float = math.nan
    best: float = math.inf
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    stale: int = 0
    trouble: str = ""
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @classmethod
    def of(
        cls,
        layer: str,
        shape: tuple[int, ...],
        inputs: tuple[int, ...],
        plan: DecoderRecipe,
        folder: Path,
        about: Mapping[str, Any],
    ) -> Course:
        """Returns a training, from its checkpoint on if there is one; all that it depends on names its files.

        Args:
            layer: address.
            shape: of one feature.
            inputs: shape of one input, C × H × W.
            plan: the recipe.
            folder: where the files go.
            about: what else the weights depend on.

        Raises:
            InfodiscardError: the checkpoint is broken.
        """
        file = decoders.file_of(folder, layer, decoders.training_key({**about, "layer": layer}))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            decoder = Decoder(shape, inputs, plan.width)
        course = cls(layer, decoder.to(memory_format=torch.channels_last), file, file.with_suffix(".ckpt"))
        if course.checkpoint.exists():
            course._read()
        return course

    def _read(self) -> None:
        try:
            # Nothing but tensors and numbers is unpickled.
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            self.decoder.load_state_dict(state["decoder"])
            self.resumed = state["optimizer"]
            for name in _PROGRESS:
                setattr(self, name, state[name])
        except Exception as error:
            raise InfodiscardError(
                f"'{self.checkpoint}' is not a whole checkpoint of a decoder; delete it to start anew."
            ) from error

    def ended(self, plan: DecoderRecipe) -> bool:
        """Whether nothing is left to train."""
        return not self.trouble and (self.epoch >= plan.epochs or self.stale >= plan.patience)

    def start(self, plan: DecoderRecipe, features: torch.Tensor) -> None:
        """Makes the optimiser, on the device where the decoder is by now.

        Args:
            plan: the recipe.
            features: of some training images, for the decoder's statistics.
        """
        self.optimizer = torch.optim.AdamW(self.decoder.parameters(), plan.lr, weight_decay=plan.weight_decay)
        if self.resumed is None:
            self.decoder.calibrate(features)
        else:
            self.optimizer.load_state_dict(self.resumed)

    def step(self, feature: torch.Tensor, target: torch.Tensor, rate: float) -> None:
        """Takes one step, or notes that the loss has exploded."""
        assert self.optimizer is not None
        loss = F.mse_loss(self.decoder(feature), target)
        value = loss.item()
        if not value <= EXPLODED * target.square().mean().item():
            self.trouble = f"its loss was {value:.3g} in epoch {self.epoch + 1}"
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.sums[0] += value * len(target)
        self.sums[1] += len(target)

    def finish_epoch(self, validation: float) -> None:
        """Takes the epoch's losses down and writes the checkpoint."""
        if not math.isfinite(validation):
            self.trouble = f"its validation loss was {validation} after epoch {self.epoch + 1}"
            return
        self.loss, self.validation, self.epoch = self.sums[0] / self.sums[1], validation, self.epoch + 1
        self.stale += 1
        if validation < self.best:
            self.best, self.stale = validation, 0
            self.best_state = {name: value.detach().clone() for name, value in self.decoder.state_dict().items()}
        self._write()

    def _write(self) -> None:
        assert self.optimizer is not None
        state = {name: getattr(self, name) for name in _PROGRESS}
        state |= {"decoder": self.decoder.state_dict(), "optimizer": self.optimizer.state_dict()}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        decoders.write(self.checkpoint, buffer.getvalue())


def rate(step: int, steps: int, peak: float) -> float:
    """Returns the learning rate of a step: a linear rise to the peak, then a cosine down to zero."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise + 1) / max(1, steps - rise)))
