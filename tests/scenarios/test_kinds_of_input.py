"""Inputs other than images: against closed forms, whatever padding or other inputs they come with."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from closed_forms import identity_entropy, linear_sigma
from infodiscard import InfodiscardError, compare, measure, open_run
from infodiscard.report import write_report
from unchanged import assert_same_state, state

FAST = {"max_passes": 256, "progress": False}
CLOSE = {"tolerance": 0.005, "max_passes": 1500, "progress": False}


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(inputs, outputs, seed=0):
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(random(outputs, inputs, seed=seed))
        layer.bias.copy_(random(outputs, seed=seed + 1) / 2)
    return layer


class Pooled(nn.Module):
    """A sum over positions, each with a weight of its own: linear, so that it has a closed form."""

    def __init__(self, kind, weight):
        super().__init__()
        self.kind, self.weight = kind, nn.Parameter(weight)

    def forward(self, x):
        return torch.einsum("otd,ntd->no" if self.kind == "tokens" else "otd,ndt->no", self.weight, x)


class Masked(nn.Module):
    """Attention-like: what a position gives to the others depends on which are padding."""

    def __init__(self, width=4):
        super().__init__()
        self.mix = linear(width, width)
        self.head = linear(width, 2)

    def forward(self, x, attention_mask=None):
        hidden = torch.tanh(self.mix(x))
        mask = torch.ones_like(hidden[..., :1]) if attention_mask is None else attention_mask[..., None].to(x)
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        return self.head(hidden + pooled[:, None])


class Two(nn.Module):
    """Takes what noise is added to second, or by name."""

    def __init__(self):
        super().__init__()
        self.gate = linear(3, 6)
        self.last = nn.Identity()

    def forward(self, condition, x):
        return self.last(self.gate(condition) * x)


# -- closed forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dim"), [("tokens", "token"), ("series", "time")])
def test_sequences_in_closed_form(kind, dim):
    """σ_i² = αδ_f² / (n ‖w_i‖²), with ‖w_i‖² summed over the position's values."""
    weight = random(5, 8, 3) * torch.linspace(0.5, 2, 8)[:, None]
    x = random(1, 8, 3) if kind == "tokens" else random(1, 3, 8)
    model = Pooled(kind, weight).eval()
    before = state(model)
    run = measure(model, x, ["output"], kind=kind, **CLOSE)
    norms = weight.square().sum((0, 2))
    expected = linear_sigma(norms.sqrt()[None], 1.5, 0.01)
    sigma = run.dataset["sigma"]
    assert sigma.dims == ("network", "layer", "sample", dim)
    np.testing.assert_allclose(sigma[0, 0, 0], expected, rtol=0.2)
    assert_same_state(before, state(model))

    per_unit = measure(model, x, ["output"], kind=kind, sigma="unit", **CLOSE).dataset["sigma"]
    assert per_unit.dims == ("network", "layer", "sample", "channel", dim)
    units = linear_sigma(weight.flatten(1), 1.5, 0.01).reshape(8, 3).T
    np.testing.assert_allclose(per_unit[0, 0, 0], units, rtol=0.3)

    grid = measure(model, x, ["output"], kind=kind, sigma="grid:4", **FAST).dataset["sigma"].values[0, 0, 0]
    assert (grid[::2] == grid[1::2]).all() and len(np.unique(grid)) == 4


def test_a_table_in_closed_form():
    model, x = nn.Sequential(linear(6, 4), nn.ReLU()).eval(), random(3, 6)
    run = measure(model, x, ["0"], **CLOSE)
    sigma = run.dataset["sigma"]
    assert sigma.dims == ("network", "layer", "sample", "feature") and sigma.shape[-1] == 6
    np.testing.assert_allclose(sigma[0, 0, 0], linear_sigma(model[0].weight.detach(), 1.5, 0.01), rtol=0.2)
    assert run.dataset["sid"].attrs["units"] == "nats/feature"


@pytest.mark.parametrize(("kind", "shape"), [("tokens", (2, 5, 3)), ("series", (2, 3, 5)), ("table", (2, 5))])
def test_an_identity_layer_discards_the_same_everywhere(kind, shape):
    run = measure(nn.Sequential(nn.Identity()), random(*shape), ["0"], kind=kind, **CLOSE).dataset
    assert (abs(run["sid_corrected"] - identity_entropy(1.5, 0.01)) < 3 * run["sid_corrected_se"]).all()
    assert (run["sid_corrected_se"] < 0.015).all()
    np.testing.assert_allclose(run["sid_map"], identity_entropy(1.5, 0.01), atol=0.15)


@pytest.mark.parametrize("sigma", ["pixel", "unit"])
def test_a_search_may_start_at_the_layer_before(sigma):
    model, x = nn.Sequential(linear(3, 4), nn.Tanh()).eval(), random(1, 6, 3)
    options = FAST | {"layers": ["0", "1"], "kind": "tokens", "sigma": sigma}
    cold, warm = (measure(model, x, start=start, **options).dataset["sid"] for start in ("uniform", "before"))
    assert cold[0, 0] == warm[0, 0] and cold[0, 1] != warm[0, 1]
    np.testing.assert_allclose(cold, warm, atol=0.06)


# -- padding -------------------------------------------------------------------------------------------------------


def padded(x, front, behind):
    """The samples of `x` with some nonsense before and behind each."""
    n, _, width = x.shape
    whole = torch.cat([9 * random(n, front, width, seed=5), x, 9 * random(n, behind, width, seed=6)], 1)
    valid = torch.zeros(whole.shape[:2], dtype=torch.bool)
    valid[:, front : front + x.shape[1]] = True
    return whole, valid


@pytest.mark.parametrize(("front", "behind"), [(0, 3), (4, 0), (1, 2)])
def test_padding_changes_no_token(front, behind):
    model, x = Masked().eval(), random(2, 5, 4)
    options = FAST | {"layers": ["mix", "head"], "cap": 50.0}
    bare = measure(model, x, kind="tokens", **options).dataset
    whole, valid = padded(x, front, behind)
    told = measure(model, whole, kind="tokens", valid=valid, **options).dataset
    given = {"x": whole, "attention_mask": valid.long()}
    passed = measure(model, given, kind="tokens", noise_on="x", **options).dataset
    for name in ("sid", "feature_distance", "gap", "capped_share", "passes"):
        np.testing.assert_allclose(told[name], bare[name], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(passed[name], bare[name], rtol=1e-5, atol=1e-5)
    inside = slice(front, front + 5)
    for run in (told, passed):
        for name in ("sid_map", "sigma"):
            np.testing.assert_allclose(run[name][..., inside], bare[name], atol=1e-5)
            assert np.isnan(np.delete(run[name].values, range(front, front + 5), -1)).all()


def test_samples_of_many_lengths_are_each_measured_as_if_alone():
    model, x = Masked().eval(), random(4, 7, 4)
    lengths = [7, 3, 7, 5]
    valid = torch.arange(7) < torch.tensor(lengths)[:, None]
    options = FAST | {"layers": ["mix", "head"], "kind": "tokens", "cap": 50.0, "sigma": "unit", "start": "before"}
    together = measure(model, x, valid=valid, masks=valid & (torch.arange(7) < 2), **options).dataset
    for row, length in enumerate(lengths):
        alone = measure(model, x[row : row + 1, :length], masks=torch.arange(length)[None] < 2, **options).dataset
        for name in ("sid", "concentration"):
            np.testing.assert_allclose(together[name][0, :, row], alone[name][0, :, 0], atol=1e-4)
        np.testing.assert_allclose(together["sid_map"][0, :, row, :length], alone["sid_map"][0, :, 0], atol=1e-4)
    assert together["sigma"].shape == (1, 2, 4, 4, 7)


def test_the_cap_knows_nothing_of_padding():
    whole, valid = padded(random(2, 5, 4), 0, 2)
    options = FAST | {"cap": "data", "kind": "tokens"}
    run = measure(Masked(), whole, ["mix"], valid=valid, **options)
    alone = measure(Masked(), whole[:, :5], ["mix"], **options)
    np.testing.assert_allclose(run.dataset["sigma"].values[..., :5], alone.dataset["sigma"].values, rtol=1e-3)


# -- several inputs ------------------------------------------------------------------------------------------------


def test_noise_on_one_of_several_inputs():
    """The gate of each sample's own condition: a diagonal layer, with a closed form for every sample."""
    model, condition, x = Two().eval(), random(3, 3), random(3, 6, seed=1)
    with torch.no_grad():
        # One feature of the first sample is nearly unused: σ 11. The mean is known long before it is reached.
        model.gate.bias[3] -= model.gate(condition)[0, 3] - 0.03
    gates = model.gate(condition).detach()
    before = state(model)
    longest = CLOSE | {"max_passes": 4000, "tolerance": 1e-4}
    run = measure(model, {"condition": condition, "x": x}, ["last"], noise_on="x", **longest)
    for row, gate in enumerate(gates):
        np.testing.assert_allclose(run.dataset["sigma"][0, 0, row], linear_sigma(gate.diag(), 1.5, 0.01), rtol=0.1)
    assert run.plan.settings.noise_on == "x" and "input/condition" in run.plan.hashes
    assert_same_state(before, state(model))
    by_name = measure(model, {"condition": condition, "x": x}, ["last"], noise_on="x", **FAST)
    by_place = measure(model, (condition, x), ["last"], noise_on=1, block=1, **FAST)
    np.testing.assert_allclose(by_place.dataset["sid_map"], by_name.dataset["sid_map"], atol=1e-4)
    on_condition = measure(model, {"condition": condition, "x": x}, ["last"], noise_on="condition", **FAST)
    assert on_condition.dataset["sid_map"].shape == (1, 1, 3, 3)


def test_loaders_data_sets_and_dicts_give_the_same():
    model, x, classes = linear(4, 2), random(5, 4), torch.tensor([1, 0, 1, 1, 0])
    expected = measure(model, x, ["output"], **FAST).dataset["sid"].values
    dicts = [{"input": row} for row in x]
    for data in (DataLoader(TensorDataset(x, classes), 2), DataLoader(dicts, 2), dicts, {"input": x, "other": None}):
        run = measure(model, data, ["output"], **FAST)
        np.testing.assert_array_equal(run.dataset["sid"].values, expected)
        if isinstance(data, DataLoader) and isinstance(data.dataset, TensorDataset):
            assert run.plan.labels == (1, 0, 1, 1, 0)


BAD = [
    ({"noise_on": "y"}, r"noise_on was 'y', but the inputs are 'condition', 'x'"),
    ({}, "The inputs are condition, x; say with noise_on"),
    ({"noise_on": "x", "data": {"x": random(3, 6), "condition": random(2, 3)}}, r"'condition' has shape \(2, 3\)"),
    (
        {"noise_on": "x", "data": {"x": random(3, 6), "z": random(3, 3)}},
        r"does not take inputs of shapes z \(1, 3\), x",
    ),
    ({"noise_on": "x", "valid": torch.ones(3, 6)}, "kind 'table' has no padding"),
    ({"noise_on": "x", "metrics": ["ru"]}, "RU is for images"),
    ({"noise_on": "x", "sigma": "grid:7"}, "'grid:G' with G from 1 to 6"),
    ({"noise_on": "x", "masks": torch.ones(3, 4)}, r"for these inputs give masks of shape \(3, 6\)"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_inputs_are_refused(change, message):
    given = {"data": {"condition": random(3, 3), "x": random(3, 6)}, "layers": ["last"], **FAST} | change
    with pytest.raises(InfodiscardError, match=message):
        measure(Two().eval(), **given)


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (torch.tensor([[1, 1, 1], [1, 0, 1]]), "Input 1 has padding between its positions"),
        (torch.tensor([[0, 0, 0], [1, 0, 0]]), "Input 0 has no position that is not padding"),
        (torch.ones(2, 4), r"valid has shape \(2, 4\); for these inputs give \(2, 3\)"),
        ("all", "valid is a str that holds no array of numbers"),
    ],
)
def test_bad_padding_is_refused(valid, message):
    with pytest.raises(InfodiscardError, match=message):
        measure(Masked().eval(), random(2, 3, 4), ["mix"], kind="tokens", valid=valid, **FAST)


# -- what reads a run ----------------------------------------------------------------------------------------------


def test_a_run_of_tokens_on_disk_its_pictures_and_its_comparison(tmp_path):
    x = random(3, 5, 4)
    valid = torch.arange(5) < torch.tensor([5, 3, 5])[:, None]
    options = FAST | {
        "layers": ["mix", "head"],
        "kind": "tokens",
        "valid": valid,
        "masks": torch.arange(5)[None] < 1 * valid,
    }
    model = Masked().eval()
    measure(model, x, out=tmp_path / "run", **options)
    again = measure(model, x, out=tmp_path / "run", **options)  # finished: nothing is left to do
    run = open_run(tmp_path / "run")
    assert again.complete and run.plan.kind == "tokens" and "3 samples of 5×4" in repr(run)
    assert run.dataset["mask"].dims == ("sample", "token") and "y" not in run.dataset
    np.testing.assert_allclose(run.dataset["sid"], run.dataset["sid_map"].mean("token"), atol=1e-5)
    page = write_report(run).read_text(encoding="utf-8")
    assert "nats per token" in page and "3 samples of 5×4" in page and "nats/token" in page
    assert "pixels" not in page and "nats/pixel" not in page
    figure = run.plot_maps()
    strips = [ax for ax in figure.axes if ax.images]
    assert len(strips) == 3 and strips[1].images[0].get_array().mask[:, 3:].all()
    assert strips[-1].get_xlabel() == "token" and "nats/token" in figure.axes[-1].get_ylabel()
    assert "nats/token" in run.plot_layers().axes[0].get_ylabel()
    with pytest.raises(InfodiscardError, match="different run"):
        measure(model, x, out=tmp_path / "run", **options | {"valid": None})
    table = compare({"a": run, "b": again})
    assert (table["difference"] == 0).all()
    series = measure(nn.Identity(), x.transpose(1, 2), ["output"], kind="series", **FAST)
    with pytest.raises(InfodiscardError, match=r"5×4 \(tokens\) and 'b' of 4×5 \(series\)"):
        compare({"a": run, "b": series})
