"""CIFAR-10, downloaded once by torchvision, which checks its digest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from ...core.files import cache_folder
from ...errors import InfodiscardError
from .sample import Sample, to_float


def read(split: str) -> tuple[Iterator[Sample], tuple[str, ...]]:
    """Returns the 50,000 training or 10,000 test images in their original order, and the classes' names.

    Raises:
        InfodiscardError: the download failed.
    """
    from torchvision.datasets import CIFAR10

    folder = cache_folder()
    try:
        data = CIFAR10(root=str(folder), train=split == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise InfodiscardError(
            f"CIFAR-10 cannot be downloaded to '{folder}' ({error}); connect to the network once, set "
            "INFODISCARD_CACHE to a folder that has it, or give a copy as 'parquet:PATTERN'."
        ) from error
    return _samples(data.data, data.targets, split), tuple(data.classes)


def _samples(images: np.ndarray, labels: list[int], split: str) -> Iterator[Sample]:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Sample(f"{split}-{i:05}", partial(_decode, image), int(label))


def _decode(image: np.ndarray) -> tuple[torch.Tensor, None]:
    return to_float(torch.from_numpy(image).permute(2, 0, 1)), None
