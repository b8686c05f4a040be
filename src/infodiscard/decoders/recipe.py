"""The recipe of a decoder's training."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InfodiscardError


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
