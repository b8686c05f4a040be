"""What every training with Lightning needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InfodiscardError


def load_lightning() -> Any:
    """Returns the library.

    Raises:
        InfodiscardError: it is not installed.
    """
    try:
        import lightning
        import lightning.pytorch
    except ImportError as error:
        raise InfodiscardError("Training needs Lightning; install it with pip install 'infodiscard[train]'.") from error
    return lightning


def make_folder(path: Path) -> Path:
    """Makes a folder if it is missing.

    Raises:
        InfodiscardError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfodiscardError(f"The folder '{path}' cannot be made ({error.strerror}); choose another.") from error
    return path


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns a seed for the epoch, so that a training that goes on draws what it would have drawn anyway."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning's banner and its own misuses of others to itself; other warnings still come."""
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
