"""Parsing of the command line's texts."""

import pytest

from infodiscard.api.specs import common_size
from infodiscard.cli.parsing import named_runs, number_or_word, numbers, patterns, pixels
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network


def test_texts_become_values():
    assert patterns(None) is None and patterns(["a,b*", " c "]) == ["a", "b*", "c"]
    assert numbers("0.5, 1", "mean") == (0.5, 1.0) and numbers(None, "mean") is None
    assert pixels("32") == (32, 32) and pixels("224x192") == (224, 192) and pixels(None) is None
    for wrong in ("0", "-3", "3x", "3.5", "x"):
        with pytest.raises(InfodiscardError, match="--size"):
            pixels(wrong)
    assert number_or_word("1e-4") == 1e-4 and number_or_word("code") == "code"


def test_runs_are_named_by_their_directory_or_as_told(tmp_path):
    odd = tmp_path / "tau=1"
    odd.mkdir()
    assert named_runs([str(odd), f"other={odd}"]) == {"tau=1": str(odd), "other": str(odd)}


def test_networks_of_any_size_take_that_of_the_others():
    from torch import nn

    free, fixed = Network(nn.Identity(), "free"), Network(nn.Identity(), "fixed", input_size=(4, 6))
    assert common_size({"free": free}) is None and common_size({"free": free, "fixed": fixed}) == (4, 6)
