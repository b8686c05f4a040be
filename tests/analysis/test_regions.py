"""Means over regions: as reached they are those of the maps; corrected they have the errors of what was averaged."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infodiscard import InfodiscardError
from infodiscard.api.run import Run
from infodiscard.solver.correction import region
from infodiscard.solver.sigma_space import SigmaSpace
from synthetic import RESNET, make_plan, make_run, values_of

SMALL = {"layers": RESNET[:3], "samples": 6, "size": 8, "block": 4}


def boxes(samples, size):
    """A box for each sample, of another size each."""
    masks = np.zeros((samples, size, size), bool)
    for row, mask in enumerate(masks):
        mask[1 : 3 + row % 3, row % 4 : 5] = True
    return masks


def test_reached_means_are_those_of_the_maps():
    run, masks = make_run(networks=("a", "b"), **SMALL), boxes(6, 8)
    table = run.region(masks)
    assert list(table) == ["network", "layer", "sample", "size", "sid", "sid_corrected", "sid_corrected_se"]
    assert len(table) == 2 * 3 * 6 and list(table["sample"][:6]) == list(run.plan.samples)
    maps = run.dataset["sid_map"].values.reshape(6, 6, 8, 8)  # networks and layers, samples, …
    expected = [chart[mask].mean() for charts in maps for chart, mask in zip(charts, masks, strict=True)]
    np.testing.assert_allclose(table["sid"], expected, rtol=1e-5)
    assert list(table["size"][:6]) == masks.sum((1, 2)).tolist()


def test_the_whole_input_is_a_region():
    run = make_run(**SMALL)
    table, data = run.region(np.ones((8, 8), bool)), run.dataset.isel(network=0)
    np.testing.assert_allclose(table["sid"], data["sid"].values.ravel(), rtol=1e-4)
    missing = data["correction_map"].mean(("y", "x")).values.ravel()
    np.testing.assert_allclose(table["sid_corrected"] - table["sid"], missing, atol=1e-5)


@pytest.mark.parametrize("sigma", ["pixel", "unit", "grid:4"])
def test_corrected_means_are_those_of_the_solver(sigma):
    """What is stored says the same of a region as what the solver gave; on a grid, too, whose cells share one error."""
    plan = make_plan(sigma=sigma, **SMALL | {"layers": RESNET[:1]})
    run, masks = Run.create(plan), boxes(6, 8)
    space, rng = SigmaSpace.parse(sigma, (3, 8, 8)), torch.Generator().manual_seed(0)
    shift, error = torch.randn(2, 6, *space.shape, generator=rng, dtype=torch.float64)
    error = error.abs()
    charts, errors = space.expand(shift).mean(1), space.expand(error)
    errors = errors.square().sum(1).sqrt() / errors.shape[1]
    for unit in run.pending():
        part = slice(unit.start, unit.stop)
        values = values_of(plan, unit) | {
            "correction_map": charts[part].numpy(),
            "correction_se_map": errors[part].numpy(),
        }
        run.write(unit, {name: value for name, value in values.items() if name != "sigma"})
    table = run.region(masks)
    gap = torch.from_numpy(run.dataset["sid_corrected"].values - run.dataset["sid"].values).flatten().double()
    missing, missing_se = region(shift, error, gap, space, torch.from_numpy(masks))
    np.testing.assert_allclose(table["sid_corrected"] - table["sid"], missing, atol=1e-5)
    np.testing.assert_allclose(table["sid_corrected_se"], missing_se, rtol=1e-4)


def test_larger_regions_are_known_better():
    run = make_run(**SMALL | {"size": 16, "layers": RESNET[:1]})
    errors = []
    for size in (2, 4, 8):
        mask = np.zeros((16, 16), bool)
        mask[:size, :size] = True
        errors.append(run.region(mask)["sid_corrected_se"].mean())
    assert errors[0] > 1.7 * errors[1] > 1.7**2 * errors[2]


def test_padding_failures_and_what_is_not_measured_are_left_out():
    plan = replace(make_plan(**SMALL | {"layers": RESNET[:2]}), kind="tokens", height=1)
    run = Run.create(plan)
    charts = np.arange(48, dtype=np.float32).reshape(6, 8)
    charts[1, 5:], charts[2, :2], charts[3] = np.nan, np.nan, np.nan
    for unit in run.pending()[:1]:
        part = charts[unit.start : unit.stop]
        values = {"sid": np.nanmean(np.nan_to_num(part), 1), "sid_map": part, "correction_map": 0 * part + 0.5}
        values["sid_corrected"] = values["sid"] + 0.5
        run.write(unit, values | {"correction_se_map": 0 * part + 1, "failure": np.isnan(part).all(1)})
    mask = np.zeros((6, 8), bool)
    mask[:, 1:7], mask[0] = True, False
    table = run.region(mask)
    assert list(table["sample"]) == list(plan.samples[:3]) and list(table["size"]) == [0, 4, 5]
    np.testing.assert_allclose(table["sid"], [np.nan, charts[1, 1:5].mean(), charts[2, 2:7].mean()])
    np.testing.assert_allclose(table["sid_corrected"], table["sid"] + 0.5)
    assert np.isnan(table["sid_corrected_se"][0]) and table["sid_corrected_se"][1] > table["sid_corrected_se"][2]


def test_an_older_run_has_means_as_reached():
    table = make_run(old=True, **SMALL).region(torch.ones(8, 8, dtype=torch.bool))
    assert list(table) == ["network", "layer", "sample", "size", "sid"] and table["sid"].notna().all()


@pytest.mark.parametrize("masks", [np.ones((8, 7), bool), np.ones((5, 8, 8), bool), np.ones((8, 8)), True])
def test_masks_that_do_not_fit_are_refused(masks):
    with pytest.raises(InfodiscardError, match="give booleans, true in the region, of 8×8 or 6×8×8"):
        make_run(**SMALL).region(masks)


def test_a_run_of_ru_alone_has_no_means_of_sid():
    with pytest.raises(InfodiscardError, match="has no SID"):
        make_run(metrics=["ru"], **SMALL).region(np.ones((8, 8), bool))
