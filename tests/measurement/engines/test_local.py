"""The engine that works in this process."""

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network
from infodiscard.api.run import Run
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.engines import LocalEngine, find_engine
from infodiscard.measurement.execution import Execution
from infodiscard.measurement.prepare import prepare


def test_pending_units_are_measured_one_by_one():
    images = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    settings, network = Settings(max_passes={"sid": 96}), Network(nn.Sequential(nn.ReLU()), "net")
    ready = prepare(network, coerce_inputs(images), ["0"], settings, Execution(block=1))
    run = Run.create(ready.plan)
    work = LocalEngine().run(run, ready.work)
    assert next(work).unit == ready.plan.units()[0] and len(run.pending()) == 2
    assert [finished.unit for finished in work] == ready.plan.units()[1:] and not run.pending()


def test_engines_are_found_by_name():
    mine = LocalEngine()
    assert find_engine(mine) is mine and isinstance(find_engine("local"), LocalEngine)
    with pytest.raises(InfodiscardError, match="engine was 'spark'; it can be 'local' or 'ray'"):
        find_engine("spark")
