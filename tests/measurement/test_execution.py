"""Execution: its check, and which of its fields only a whole run has."""

import pytest

from infodiscard import InfodiscardError
from infodiscard.measurement.execution import Execution


def test_a_batch_holds_at_least_one():
    assert Execution(batch_size=1).batch_size == 1
    with pytest.raises(InfodiscardError, match="batch_size was 0; it must be at least 1"):
        Execution(batch_size=0)


def test_every_field_has_a_role():
    assert Execution.names("unit", "run") == Execution.names()
    assert Execution.names("unit") == ("decoders", "block", "batch_size", "device")
