"""A metric of the tests' own, in one file: what it takes to add one. Its values are those of a made-up solver."""

import numpy as np

from infodiscard.core.metrics.metric import Column, Metric
from infodiscard.core.metrics.variable import cells, maps

TOY = Metric(
    name="toy",
    title="Toy",
    long_name="toy information",
    prefix="toy_",
    passes=100,
    least_passes=10,
    passes_key="toy_max_passes",
    variables={
        "toy": cells("nats/pixel", "toy information, mean over pixels"),
        "toy_concentration": cells("nats/pixel", "mean of the background minus that of the object", needs_masks=True),
        "toy_feature_distance": cells("1", "feature distance reached"),
        "toy_converged": cells("1", "whether the solver met its tolerance", "bool"),
        "toy_passes": cells("passes", "forward and backward passes", "int32"),
        "toy_gap": cells("nats/pixel", "estimated remaining gap to the optimum"),
        "toy_map": maps("nats/pixel", "toy information of each pixel"),
        "toy_sigma": maps("input units", "standard deviation of the noise"),
    },
    meaning="higher = more of a toy",
    columns={
        "toy": Column("Toy ± se\nnats/pixel", error=True),
        "n": Column("n", "d"),
        "toy_gap": Column("gap"),
        "toy_converged": Column("conv.", ".0%"),
    },
    labels={"toy": "Toy (nats/pixel)\n↑ more of a toy"},
)


def toy_values(samples, shape, seed=0):
    """What a solver would return of some samples; the first has not converged."""
    charts = np.random.default_rng(seed).normal(3, 0.5, (samples, *shape))
    return {
        "toy": charts.mean((1, 2)),
        "toy_map": charts,
        "toy_sigma": np.exp(charts),
        "toy_feature_distance": np.full(samples, 1.5),
        "toy_converged": np.arange(samples) > 0,
        "toy_passes": np.full(samples, 64),
        "toy_gap": np.full(samples, 0.25),
    }
