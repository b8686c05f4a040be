"""The data of the page's script: plain JSON, in which numbers that are none are null."""

import json
import math

from infodiscard.report import content, packed_maps
from infodiscard.report.payload import _finite, payload
from pages import SMALL
from synthetic import RESNET, make_run


def test_numbers_that_are_none_are_null():
    assert _finite({"a": [math.nan, 1.0, (math.inf, "x")], "b": -math.inf}) == {
        "a": [None, 1.0, [None, "x"]],
        "b": None,
    }


def test_it_is_json_and_pairs_name_the_places_of_layers():
    few = SMALL | {"pictures": True, "masks": True}
    read = content.read({"a": make_run(**few), "b": make_run(**few | {"layers": RESNET[1:3]})})
    data = json.loads(json.dumps(payload(read, packed_maps.pack(read)), allow_nan=False))
    assert data["pairs"] == [{"a": 0, "b": 1, "layers": [["layer1.0", 1, 0], ["layer1.1", 2, 1]]}]
    assert data["entries"][0]["inputs"] == data["entries"][1]["inputs"]  # the pictures are there once
    assert len(data["pictures"]) == len(set(data["pictures"])) and data["entries"][1]["layers"] == list(RESNET[1:3])
    assert data["curves"]["sid"][1][0] is None and "nats/pixel (n = 6" in data["curves"]["sid"][0][0]
