"""Runs with made-up values that look like real ones, for the tests of what reads a run."""

from functools import cache

import numpy as np

from infodiscard.run import Plan, Run, Unit

RESNET = ("conv1", "layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.2", "layer3.0", "layer3.2", "fc")


def make_plan(layers=RESNET, samples=20, networks=("resnet20",), size=32, block=16, **settings):
    """A plan of the same layers for every network; `settings` override the usual ones."""
    usual = {"metrics": ["sid"], "alpha": 1.5, "tau": 0.01, "sigma": "pixel", "seed": 0}
    return Plan(
        networks=tuple(networks),
        layers={name: tuple(layers) for name in networks},
        samples=tuple(f"test-{i:05d}" for i in range(samples)),
        height=size,
        width=size,
        channels=3,
        settings=usual | settings,
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
    out = {}
    for sample in range(unit.start, unit.stop):
        rng = np.random.default_rng([seed, sample, plan.layers[unit.network].index(unit.layer)])
        y, x = np.mgrid[: plan.height, : plan.width]
        own = np.random.default_rng([seed, sample])
        cy, cx = own.uniform(0.3, 0.7, 2) * (plan.height, plan.width)
        far = np.hypot((y - cy) / plan.height, (x - cx) / plan.width)
        mean = -0.68 + 1.2 * depth**3 * own.uniform(0.7, 1.3) + shift
        chart = mean + 1.5 * depth * (far - far.mean()) + rng.normal(0, 0.1 + 0.1 * depth, far.shape)
        row = {
            "sid": chart.mean(),
            "sid_map": chart,
            "sigma": np.exp(chart - 1.4189),
            "feature_distance": 1.5 + rng.normal(0, 0.01),
            "feature_distance_se": 0.01,
            "converged": not (depth == 1 and sample % 5 == 1),
            "passes": 80 + int(600 * depth),
            "gap": 0.002 + 0.02 * depth**4,
            "capped_share": 0.0,
            "cap_matters": False,
        }
        for name, value in row.items():
            out.setdefault(name, []).append(value)
    return {name: np.asarray(value) for name, value in out.items()}


def make_run(path=None, pictures=False, masks=False, seed=0, shift=0.0, units=None, **plan):
    """A finished run (or its first `units` units)."""
    plan = make_plan(**plan)
    images, boxes = make_images(plan) if pictures or masks else (None, None)
    run = Run.create(plan, path, images=images if pictures else None, masks=boxes if masks else None)
    for unit in run.pending()[:units]:
        values = values_of(plan, unit, seed, shift)
        if masks:
            inside = boxes[unit.start : unit.stop]
            values["concentration"] = np.array(
                [m[~b].mean() - m[b].mean() for m, b in zip(values["sid_map"], inside, strict=True)]
            )
        run.write(unit, values)
    run.close()
    return run


shared_run = cache(make_run)  # for runs in memory, which are finished and cannot be written any more
