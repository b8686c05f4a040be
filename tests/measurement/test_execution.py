"""Execution: its check, and which of its fields only a whole run has."""

import numpy as np
import pytest

from infodiscard import InfodiscardError
from infodiscard.measurement.execution import Execution


def test_a_batch_holds_at_least_one():
    assert Execution(batch_size=1).batch_size == 1
    with pytest.raises(InfodiscardError, match="batch_size was 0; it must be a whole number, at least 1"):
        Execution(batch_size=0)


@pytest.mark.parametrize("name", ["block", "batch_size"])
def test_sizes_are_whole_numbers(name):
    assert getattr(Execution(**{name: np.int64(3)}), name) == 3 == getattr(Execution(**{name: 3.0}), name)
    for wrong in ("8", 2.5, True, 0, -1, [4], float("nan")):
        with pytest.raises(InfodiscardError, match=f"^{name} was .*; it must be a whole number, at least 1, or None"):
            Execution(**{name: wrong})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"progress": "no"}, "progress was 'no'; it must be True or False"),
        ({"decoders": 5}, "decoders was 5; it must be a path, or None"),
        ({"log": ["a"]}, r"log was \['a'\]; it must be a path, or None"),
    ],
)
def test_what_is_not_allowed_gets_a_sentence(given, says):
    with pytest.raises(InfodiscardError, match=says):
        Execution(**given)


def test_every_field_has_a_role():
    assert Execution.names("unit", "run") == Execution.names()
    assert Execution.names("unit") == ("decoders", "block", "batch_size", "device")
