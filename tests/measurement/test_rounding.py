"""Inputs beside which rounding leaves nothing of the noise are refused, or measured in numbers that hold both."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import measure
from infodiscard.errors import InfodiscardError

FAST = {"max_passes": 256, "progress": False}


def linear(features=6, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(features, 12).eval()


def table(n=3, features=6, **columns):
    rows = torch.randn(n, features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for place, offset in columns.items():
        rows[:, int(place[1:])] += offset
    return rows


def sid(model, inputs, **options):
    return measure(model, inputs, ["output"], **FAST | options).dataset["sid"].values.ravel()


@pytest.mark.parametrize(
    ("model", "inputs", "options"),
    [
        (linear(), table(c2=4e6), {}),
        (linear(), table(c2=-4e6), {}),
        (linear(), table(c0=2e5), {}),
        (linear(256), table(features=256) + 1e4, {}),  # it is the row that a layer sums over
        (linear(), table(c2=400), {"tau": 1e-6, "precision": "bf16"}),
        (linear().bfloat16(), table(c2=100), {}),
        (linear().half(), table(c2=400), {}),
        (linear(), table(), {"tau": 1e-16}),
        (nn.Conv2d(3, 2, 3).eval(), torch.rand(2, 3, 8, 8) + 1e6, {}),
        (nn.Conv2d(3, 2, 3).eval().bfloat16(), 255 * torch.rand(2, 3, 8, 8), {}),
        (nn.Conv2d(3, 2, 3).eval(), torch.randn(2, 3, 8, 8), {"tau": "code", "precision": "bf16"}),
        (nn.Conv1d(2, 3, 3).eval(), torch.randn(2, 2, 20) + 1.7e9, {"kind": "series"}),
        (nn.Linear(5, 3).eval(), torch.randn(2, 4, 5) * 1e7, {"kind": "tokens"}),
    ],
)
def test_inputs_that_drown_the_noise_are_refused(model, inputs, options):
    with pytest.raises(InfodiscardError, match=r"rounds away beside inputs as large as .*; centre and standardise"):
        sid(model, inputs.float() if inputs.dtype == torch.float64 else inputs, **options)


@pytest.mark.parametrize(
    ("model", "inputs", "options"),
    [
        (linear(), table(c2=1e3), {}),
        (linear().double(), table(c2=4e6), {}),
        (linear(), table(c2=4e6), {"tau": 1e6}),
        (linear().bfloat16(), table(), {}),
        (linear(), table(), {"precision": "bf16"}),
        (nn.Conv2d(3, 2, 3).eval(), 255 * torch.rand(2, 3, 8, 8), {}),
        (nn.Conv2d(3, 2, 3).eval().bfloat16(), 2.6 * torch.ones(2, 3, 8, 8) - torch.rand(2, 3, 8, 8), {}),
    ],
)
def test_inputs_beside_which_the_noise_is_kept_are_measured(model, inputs, options):
    assert np.isfinite(sid(model, inputs, **options)).all()


def test_an_offset_changes_nothing_where_it_is_allowed():
    """The largest offset that is measured: the value is that of the centred table."""
    model = linear()
    centred, moved = table(), table(c2=3e4)
    np.testing.assert_allclose(sid(model, moved, cap=10.0), sid(model, centred, cap=10.0), atol=0.05)


def test_one_sample_that_is_too_large_leaves_the_others_measured():
    inputs = table(4).float()
    inputs[0, 3] = 1e7
    run = measure(linear(), inputs, ["output"], cap=10.0, **FAST)
    assert list(run.failures()["sample"]) == ["0"] and list(run.failures()["why"]) == ["noise rounded away"]
    rest = measure(linear(), inputs[1:], ["output"], cap=10.0, **FAST)
    np.testing.assert_array_equal(run.dataset["sid"].values[..., 1:], rest.dataset["sid"].values)


def test_one_large_value_of_a_token_in_half_precision_is_measured():
    tokens = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(0))
    tokens[:, :, 5] = 20
    assert np.isfinite(sid(nn.Linear(64, 8).eval().bfloat16(), tokens, kind="tokens")).all()
