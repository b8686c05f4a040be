"""The training of one decoder: its state and its checkpoint. `decoder_module` trains several at once."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from ..core.files import translate_os_errors, write_atomically
from ..decoders.architecture import Decoder
from ..decoders.cache import Origin
from ..errors import InfodiscardError

WARM_UP = 0.1  # share of the steps in which the learning rate rises
EXPLODED = 20.0  # times the loss of a decoder that answers nothing but zeros


_PROGRESS = ("epoch", "loss", "validation", "best", "best_state", "stale")


@dataclass
class DecoderTraining:
    """The training of one layer's decoder.

    Attributes:
        origin: layer, network, images and recipe.
        decoder: what is trained.
        file: of the final decoder.
        checkpoint: the file of its state until then.
        optimizer: made when the decoder is on its device.
        resumed: the optimiser's state in the checkpoint; `None` if there was no checkpoint.
        epoch: how many are completed.
        loss: training loss of the last one.
        validation: validation loss of the last one.
        best: least validation loss so far.
        best_state: the parameters with that loss.
        stale: epochs since then.
        trouble: why it was stopped; empty if it was not.
        sums: loss × images and images, within an epoch.
    """

    origin: Origin
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
        cls, origin: Origin, feature_shape: tuple[int, ...], input_shape: tuple[int, ...], folder: Path
    ) -> DecoderTraining:
        """Returns a training, from its checkpoint if there is one.

        Args:
            origin: all that it depends on, which names its files.
            feature_shape: of the feature, without the batch dimension.
            input_shape: channels, height and width of the input.
            folder: of the files.

        Raises:
            InfodiscardError: the checkpoint is broken.
        """
        file = origin.file(folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(origin.recipe.seed)
            decoder = Decoder(feature_shape, input_shape, origin.recipe.width)
        training = cls(origin, decoder.to(memory_format=torch.channels_last), file, file.with_suffix(".ckpt"))
        if training.checkpoint.exists():
            training._read()
        return training

    @property
    def layer(self) -> str:
        """Address of the layer that it decodes."""
        return self.origin.layer

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
                f"'{self.checkpoint}' is not a whole checkpoint of a decoder; delete it to start again."
            ) from error

    def ended(self) -> bool:
        """Whether nothing is left to train."""
        recipe = self.origin.recipe
        return not self.trouble and (self.epoch >= recipe.epochs or self.stale >= recipe.patience)

    def start(self, features: torch.Tensor) -> None:
        """Makes the optimiser, once the decoder is on its device.

        Args:
            features: of some training images, `batch × feature shape`, for the decoder's statistics.
        """
        recipe = self.origin.recipe
        self.optimizer = torch.optim.AdamW(self.decoder.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
        if self.resumed is None:
            self.decoder.calibrate(features)
        else:
            self.optimizer.load_state_dict(self.resumed)

    def step(self, feature: torch.Tensor, target: torch.Tensor, lr: float) -> None:
        """Takes one step, or notes that the loss has exploded.

        Args:
            feature: `batch × feature shape`.
            target: the normalised inputs, `batch × C × H × W`.
            lr: learning rate.
        """
        assert self.optimizer is not None
        loss = F.mse_loss(self.decoder(feature), target)
        value = loss.item()
        if not value <= EXPLODED * target.square().mean().item():
            self.trouble = f"its loss was {value:.3g} in epoch {self.epoch + 1}"
            return
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.sums[0] += value * len(target)
        self.sums[1] += len(target)

    def finish_epoch(self, validation: float) -> None:
        """Records the epoch's losses and writes the checkpoint."""
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
        with translate_os_errors("write", self.checkpoint):
            write_atomically(self.checkpoint, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def rate(step: int, steps: int, peak: float) -> float:
    """Returns the learning rate of a step: a linear rise to the peak, then a cosine down to zero."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise + 1) / max(1, steps - rise)))
