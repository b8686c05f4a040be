"""Numbers in print."""

import math

import numpy as np
import pytest

from infodiscard.core.numbers import printed
from infodiscard.core.origin import without_folders


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-0.0001, ".3f", "0.000"),
        (-0.0001, "+.3f", "+0.000"),
        (np.float32(-1e-5), ".2f", "0.00"),
        (-0.001, ".0%", "0%"),
        (-0.1, ".3f", "-0.100"),
        (0.1, "+.3f", "+0.100"),
        (math.nan, ".3f", "–"),
        (math.inf, ".3f", "∞"),
        (-math.inf, "+.3f", "-∞"),
        (12, "d", "12"),
        (12, ".1f", "12.0"),
    ],
)
def test_zero_has_no_minus_and_what_is_no_number_has_a_sign(value, form, text):
    assert printed(value, form) == text


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ("zoo:resnet20,width=0.25", "zoo:resnet20,width=0.25"),
        ("parquet:/home/me/data/test-*.parquet", "parquet:test-*.parquet"),
        ("folder:/home/me/birds/", "folder:birds"),
        ("/home/me/net.py:build", "net.py:build"),
        ("../nets/net.py:build", "net.py:build"),
        ("/home/me/a.safetensors", "a.safetensors"),
        ("hf:org/model", "hf:org/model"),
        ("demo", "demo"),
    ],
)
def test_no_folder_of_the_user_is_kept(spec, kept):
    assert without_folders(spec) == kept
