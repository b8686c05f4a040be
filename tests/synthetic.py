"""Runs with made-up values that look like real ones, for the tests of what reads a run."""

from contextlib import contextmanager, nullcontext
from functools import cache
from unittest.mock import patch

import numpy as np

from infodiscard.api.run import Run
from infodiscard.core.metrics import variables_for
from infodiscard.core.settings import Settings
from infodiscard.results import store
from infodiscard.results.plan import Plan, Unit

RESNET = ("conv1", "layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.2", "layer3.0", "layer3.2", "fc")


@contextmanager
def older():
    """Runs that are created within are as they were before there were corrected values."""

    def without(*given):
        return {name: item for name, item in variables_for(*given).items() if "correct" not in name}

    with patch.object(store, "variables_for", without), patch.object(store, "FORMAT", 2):
        yield


def make_plan(layers=RESNET, samples=20, networks=("resnet20",), size=32, block=16, **settings):
    """A plan of the same layers for every network; `settings` override the usual ones."""
    return Plan(
        networks=tuple(networks),
        layers={name: tuple(layers) for name in networks},
        samples=tuple(f"test-{i:05d}" for i in range(samples)),
        height=size,
        width=size,
        channels=3,
        settings=Settings(**settings),
        hashes={f"weights/{name}": "ab" * 32 for name in networks},
        labels=tuple(i % 10 for i in range(samples)),
        classes=tuple(["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]),
        block=block,
    )


def make_images(plan):
    """Smooth coloured inputs in [0, 1], `n × 3 × height × width`, and the boxes of their objects."""
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, plan.height), np.linspace(0, 1, plan.width), indexing="ij"))
    phase, slope = rng.uniform(0, 6, (len(plan.samples), 3, 1, 1)), rng.uniform(-6, 6, (len(plan.samples), 3, 2))
    images = 0.5 + 0.4 * np.sin(phase + np.einsum("nck,kyx->ncyx", slope, grid))
    masks = np.zeros((len(plan.samples), plan.height, plan.width), bool)
    for mask in masks:
        top, left = rng.integers(1, max(2, plan.height // 3), 2)
        mask[top : top + plan.height // 2, left : left + plan.width // 2] = True
    return images.astype(np.float32), masks


def values_of(plan, unit: Unit, seed=0, shift=0.0):
    """Values of a unit that depend on its samples alone, as real ones do."""
    depth = plan.layers[unit.network].index(unit.layer) / max(1, len(plan.layers[unit.network]) - 1)
    metrics, out = plan.settings.metrics, {}
    for sample in range(unit.start, unit.stop):
        rng = np.random.default_rng([seed, sample, plan.layers[unit.network].index(unit.layer)])
        y, x = np.mgrid[: plan.height, : plan.width]
        own = np.random.default_rng([seed, sample])
        cy, cx = own.uniform(0.3, 0.7, 2) * (plan.height, plan.width)
        far = np.hypot((y - cy) / plan.height, (x - cx) / plan.width)
        rise = depth**3 * own.uniform(0.7, 1.3)
        chart = 1.5 * depth * (far - far.mean()) + rng.normal(0, 0.1 + 0.1 * depth, far.shape)
        row = {}
        if "sid" in metrics:
            row |= _sid(depth, -0.68 + 1.2 * rise + shift + chart, sample, rng)
        if "ru" in metrics:
            row |= _ru(depth, -0.5 + 1.5 * rise + shift - 0.7 * chart, sample, rng)
            row["reconstruction"] = _blurred(make_images(plan)[0][sample], 1 + int(20 * depth))
        for name, value in row.items():
            out.setdefault(name, []).append(value)
    return {name: np.asarray(value) for name, value in out.items()}


def _sid(depth, chart, sample, rng):
    """What a run holds of the SID of one sample and layer; more is missing the deeper it lies."""
    own = np.random.default_rng([sample, int(1000 * depth)])
    missing = (0.002 + 0.08 * depth**4) * own.uniform(0.7, 1.3)
    converged = not (depth == 1 and sample % 5 == 1)
    return {
        "sid": chart.mean(),
        "sid_corrected": chart.mean() + missing,
        "sid_corrected_se": 0.001 + 0.15 * missing + 0.6 * (not converged),
        "sid_map": chart,
        "correction_map": missing + own.normal(0, 0.3, chart.shape),
        "correction_se_map": np.full(chart.shape, 0.3),
        "sigma": np.exp(chart - 1.4189),
        "feature_distance": 1.5 + rng.normal(0, 0.01),
        "feature_distance_se": 0.01,
        "converged": converged,
        "passes": 80 + int(600 * depth),
        "gap": 0.002 + 0.02 * depth**4,
        "capped_share": 0.0,
        "cap_matters": False,
    }


def _ru(depth, chart, sample, rng):
    """What a run holds of the RU of one sample and layer, but for the reconstruction; the floor rises with depth."""
    floor = chart - 0.2 - 0.3 * depth**3
    return {
        "ru": chart.mean(),
        "ru_map": chart,
        "ru_floor": floor.mean(),
        "ru_floor_map": floor,
        "ru_sigma": rng.exponential(0.1, chart.shape) * (rng.random(chart.shape) < 0.4),
        "ru_feature_distance": 1.5 + rng.normal(0, 0.02),
        "ru_feature_distance_se": 0.02,
        "ru_converged": not (depth > 0.8 and sample % 5 == 2),
        "ru_passes": 160 + int(900 * depth),
        "ru_gap": 0.01 + 0.05 * depth**2,
    }


def _blurred(image, steps):
    """A picture (`channels × height × width`) after so many averages over neighbours."""
    for _ in range(steps):
        wide = np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge")
        image = (wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]) / 3
        wide = np.pad(image, ((0, 0), (0, 0), (1, 1)), mode="edge")
        image = (wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]) / 3
    return image


def _contrast(charts, masks):
    """The means of the background minus those of the object."""
    return np.array([chart[~mask].mean() - chart[mask].mean() for chart, mask in zip(charts, masks, strict=True)])


def make_run(path=None, pictures=False, masks=False, seed=0, shift=0.0, units=None, old=False, **plan):
    """A finished run (or its first `units` units); `old`: of a version that had no corrected values."""
    plan = make_plan(**plan)
    images, boxes = make_images(plan) if pictures or masks else (None, None)
    with older() if old else nullcontext():
        run = Run.create(plan, path, images=images if pictures else None, masks=boxes if masks else None)
    for unit in run.pending()[:units]:
        values = values_of(plan, unit, seed, shift)
        if masks:
            inside = boxes[unit.start : unit.stop]
            for name, chart in (("concentration", "sid_map"), ("ru_concentration", "ru_map")):
                if chart in values:
                    values[name] = _contrast(values[chart], inside)
            if "sid" in values:
                values["concentration_corrected"] = values["concentration"] + _contrast(
                    values["correction_map"], inside
                )
                values["concentration_corrected_se"] = np.full(len(inside), 0.02)
        run.write(unit, {name: value for name, value in values.items() if not old or "correct" not in name})
    run.close()
    return run


shared_run = cache(make_run)  # for runs in memory, which are finished and cannot be written any more


def fill(run, count=None):
    """Writes the units that are left, or the first so many of them."""
    for unit in run.pending()[:count]:
        run.write(unit, values_of(run.plan, unit))


def same(a: Run, b: Run) -> bool:
    """Whether two runs hold the same, whenever they were created."""
    return a.dataset.load().identical(b.dataset.load().assign_attrs(created=a.dataset.attrs["created"]))
