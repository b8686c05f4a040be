"""A unit of work: every metric has a solver, and values stand where their samples do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import Network
from infodiscard.core.metrics import METRICS
from infodiscard.core.metrics.variable import FAILURES
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.prepared_network import PreparedNetwork
from infodiscard.measurement.unit import SOLVERS, LayerSamples, measured, passes_of

SETTINGS = Settings(max_passes={"sid": 96}, seed=3)


@pytest.fixture(scope="module")
def network():
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    images = torch.rand(3, 3, 6, 6, generator=generator)
    inputs = coerce_inputs(images)
    inputs = replace(inputs, unreadable={inputs.names[1]: "it is broken"})
    return PreparedNetwork.prepare("net", Network(module, "net"), inputs, ["1"], SETTINGS, None)


def test_every_metric_has_a_solver():
    assert set(SOLVERS) == set(METRICS)


def test_values_stand_where_their_samples_do(network):
    values = measured(network, "1", network.inputs, SETTINGS)
    assert [FAILURES[each] for each in values["failure"]] == ["measured", "input_unreadable", "measured"]
    assert values["sid_map"].shape == (3, 6, 6) and np.isnan(values["sid_map"][1]).all()
    assert np.isfinite(values["sid"][[0, 2]]).all() and values["sid"].shape == (3,)
    alone = measured(network, "1", network.inputs.part([2]), SETTINGS)
    np.testing.assert_allclose(alone["sid_map"][0], values["sid_map"][2], atol=1e-5)
    assert passes_of(values).tolist() == values["passes"].tolist() and values["passes"][1] == 0


def test_passes_of_all_metrics_are_counted_together():
    values = {"passes": np.array([1, 2], np.int32), "ru_passes": np.array([10, 20], np.int32), "sid": np.zeros(2)}
    assert passes_of(values).tolist() == [11, 22]


def test_a_pass_can_be_timed(network):
    with network.layer("1") as probe:
        at = LayerSamples(network, probe, network.inputs.part([0]), SETTINGS)
        objective, compute = SOLVERS["sid"].one_pass(at)
        distances, _ = compute(torch.zeros(1, dtype=torch.long), torch.zeros(1, 2, 3, 6, 6))
    assert objective.inputs.shape == (1, 3, 6, 6) and torch.isfinite(distances).all()
    assert at.effort("sid").max_passes == 96 and at.task[1:] == (1.5, 0.01, torch.tensor([10.0]), 3)
