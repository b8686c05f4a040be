"""The order of the samples decides nothing: which can be measured, which layers there are, what their values are."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, forecast, measure

FAST = {"max_passes": 256, "progress": False}


def cells(model, data, layers, **options):
    """Returns what a run says of every sample: why it failed, and its SID; layers first."""
    run = measure(model, data, layers, **FAST | options)
    return run.plan.layers, run.dataset["failure"].values[0], run.dataset["sid"].values[0]


def same_in_any_order(model, data, layers, failures, **options):
    """Asserts that the run of `data` and those in other orders agree; returns its SID."""
    known, failure, sid = cells(model, data, layers, **options)
    assert failure.tolist() == failures
    orders = [list(range(len(data)))[::-1], list(np.random.default_rng(0).permutation(len(data)))]
    for order in orders:
        also, moved_failure, moved = cells(model, data[order], layers, **options)
        assert also == known and moved_failure.tolist() == failure[:, order].tolist()
        np.testing.assert_allclose(moved, sid[:, order], atol=1e-3)
    return sid


def test_a_film_that_begins_with_black_pictures():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    net[0].weight.data = net[0].weight.data.abs() * 3
    net[0].bias.data.fill_(-5.0)
    film = torch.rand(8, 3, 8, 8)
    film[:6] = 0
    same_in_any_order(net, film, ["1"], [[3] * 6 + [0, 0]])
    with pytest.raises(InfodiscardError, match="δ_f² = 0"):
        measure(net, film[:6], ["1"], **FAST)
    assert forecast(net, film, ["1"], seconds=0.2, max_passes=256)


class Early(nn.Module):
    """Leaves early where it is sure."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        h = self.a(x)
        return h if bool((h[:, 0] > 0).all()) else self.b(h.tanh())


def early():
    torch.manual_seed(0)
    model = Early().eval()
    sure = model.a.weight.data[:1] * 30
    return model, torch.cat([sure, -sure, -1.1 * sure, 1.2 * sure])


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("layers", [["b"], ["?"], ["b", "a"]])
def test_layers_that_some_samples_do_not_call(layers, block):
    model, data = early()
    failures = [[0] * 4, [5, 0, 0, 5]]
    sid = same_in_any_order(model, data, layers, failures[-1:] if layers == ["b"] else failures, block=block)
    alone = cells(model, data[1:2], layers)[2]
    np.testing.assert_allclose(sid[:, 1], alone[:, 0], atol=1e-3)


def test_why_a_layer_that_is_not_called_has_no_value():
    model, data = early()
    failures = measure(model, data, ["b"], **FAST).failures()
    assert failures["why"].tolist() == ["layer not called"] * 2 and failures["sample"].tolist() == ["0", "3"]


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 2, 0], [2, 1, 3]])
def test_an_output_that_depends_on_the_way_of_the_whole_batch_is_refused(order):
    model, data = early()
    with pytest.raises(InfodiscardError, match="depends on the other inputs of its batch"):
        measure(model, data[order], ["output"], **FAST)
    assert measure(model, data[[1, 2]], ["output"], **FAST).complete


def test_a_layer_that_no_sample_calls_is_refused():
    model, data = early()
    for wanted in (["unused"], ["unuse?"]):
        with pytest.raises(InfodiscardError, match=r"'unused' of 'Early' is not called|No layer of 'Early' matches"):
            measure(model, data, wanted, **FAST)
    with pytest.raises(InfodiscardError, match=r"'b' of 'Early' is not called|'Early' has no layer 'b'"):
        measure(model, data[[0, 3]], ["b"], **FAST)


class Loop(nn.Module):
    """Calls its layer as often as the input needs."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(1 + int(x.abs().max() > 5)):
            x = self.step(x).tanh()
        return x


def test_a_layer_that_some_samples_call_more_often():
    torch.manual_seed(0)
    data = torch.rand(3, 4)
    data[1] += 20
    same_in_any_order(Loop().eval(), data, ["step#0", "step#1"], [[0, 0, 0], [5, 0, 5]])
