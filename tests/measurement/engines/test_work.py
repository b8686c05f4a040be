"""Work: how units are chained, and what each is computed from."""

import torch
from torch import nn

from infodiscard import Network
from infodiscard.api.run import Run
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.execution import Execution
from infodiscard.measurement.prepare import prepare


def measurement(start):
    images = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    network = Network(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()), "net")
    settings = Settings(start=start, max_passes={"sid": 96})
    return prepare(network, coerce_inputs(images), ["0", "1"], settings, Execution(block=2))


def test_units_are_chained_where_each_begins_at_the_layer_before():
    plan = measurement("uniform").plan
    alone = [list(chain) for chain in measurement("uniform").work.chains(plan.units())]
    assert alone == [[unit] for unit in plan.units()]
    chains = [list(chain) for chain in measurement("before").work.chains(plan.units())]
    assert [[(unit.layer, unit.start) for unit in chain] for chain in chains] == [
        [("0", 0), ("1", 0)],
        [("0", 2), ("1", 2)],
    ]


def test_sources_are_the_samples_and_the_sigma_of_the_layer_before():
    ready = measurement("before")
    run = Run.create(ready.plan)
    first, second, *_ = ready.plan.units()
    samples, sigma = ready.work.sources(run, first)
    assert samples.names == ("0", "1") and sigma is None
    values, finished = ready.work.measured(first, samples, sigma, "here")
    assert finished.passes == values["passes"].sum() and finished.worker == "here" and finished.failures == {}
    run.write(first, values)
    _, sigma = ready.work.sources(run, second)
    assert sigma.shape == (2, 1, 6, 6) and torch.equal(sigma[:, 0], torch.from_numpy(values["sigma"]))


def test_work_without_its_samples_does_what_it_did():
    work = measurement("uniform").work
    unit = measurement("uniform").plan.units()[0]
    samples = work.networks["net"].part(unit)
    bare = work.without_samples().on(torch.device("cpu"))
    assert bare.networks["net"].inputs.names == ()
    one, other = (each.measured(unit, samples, None)[0] for each in (work, bare))
    assert (one["sid_map"] == other["sid_map"]).all()
