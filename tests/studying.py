"""A trained network for the tables of studies, and what a refusal says."""

import re
from pathlib import Path

import pytest

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.experiments.lab import TrainedNetwork


def said(action, *args):
    """What an action that cannot be done says, which is one sentence."""
    with pytest.raises(InfodiscardError) as error:
        action(*args)
    assert re.fullmatch(r"[^\n]{20,}[^.]\.", str(error.value)), error.value
    return str(error.value)


def trained(name="resnet20", seed=1, accuracy=0.5):
    return TrainedNetwork(name, zoo.load("demo"), Path("w.safetensors"), accuracy, seed=seed)
