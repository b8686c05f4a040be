"""Settings and helpers that all trainings with Lightning share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InfodiscardError

TRAINER: dict[str, Any] = {
    "accelerator": "auto",
    "devices": 1,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "reload_dataloaders_every_n_epochs": 1,
}
"""Arguments of Lightning's `Trainer` that all trainings share."""


def require_lightning() -> None:
    """Checks that Lightning is installed, before `network_module` or `decoder_module` imports it.

    Raises:
        InfodiscardError: it is not.
    """
    try:
        import lightning.pytorch  # noqa: F401  (optional, and takes seconds)
    except ImportError as error:
        raise InfodiscardError("Training needs Lightning; install it with pip install 'infodiscard[train]'.") from error


def make_folder(path: Path) -> Path:
    """Makes a folder if it is missing, and returns it.

    Raises:
        InfodiscardError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfodiscardError(f"The folder '{path}' cannot be made ({error.strerror}); choose another.") from error
    return path


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns the seed of an epoch, so that a resumed training draws the same numbers as an uninterrupted one."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Lightning's banner and the warnings that Lightning itself causes; other warnings still appear."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            yield
    finally:
        log.setLevel(level)


def has_bf16() -> bool:
    """Whether the device that Lightning would train on has units for bfloat16; without them it is slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return any(getattr(torch.cpu, f"_is_{unit}_supported", lambda: False)() for unit in ("avx512_bf16", "amx_tile"))
