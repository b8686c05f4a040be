"""`compare` of networks, which are measured first."""

import pytest

import infodiscard
from infodiscard import InfodiscardError, measure
from small_network import FAST, images, tiny


def test_compare_measures_networks_it_is_given():
    done = measure({"a": tiny(0)}, images(6), layers=["0", "2"], **FAST)
    table = infodiscard.compare({"a": done, "b": tiny(1)}, data=images(6), layers=["0", "2"], **FAST)
    assert list(table["layer"]) == ["0", "2"] and (table["n"] == 6).all()
    with pytest.raises(InfodiscardError, match="give data"):
        infodiscard.compare({"a": done, "b": tiny(1)})
