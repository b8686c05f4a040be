"""Strict information discarding (SID): the entropy of the noise that a layer tolerates."""

from __future__ import annotations

import math

from .metric import SHARE, Column, Metric
from .variable import cells, maps

NATS = "nats/pixel"


def identity_level(alpha: float, tau: float) -> float:
    """Returns the SID of a layer that passes its input on unchanged, ½ log(ατ) + ½ log 2πe, in nats/pixel.

    No linear layer discards less.
    """
    return 0.5 * math.log(alpha * tau) + 0.5 * math.log(2 * math.pi * math.e)


SID = Metric(
    name="sid",
    title="SID",
    long_name="strict information discarding",
    prefix="",
    passes=5000,
    least_passes=96,
    passes_key="max_passes",
    variables={
        "sid": cells(NATS, "strict information discarding reached, mean over pixels"),
        "sid_corrected": cells(NATS, "strict information discarding at the optimum, estimated, mean over pixels"),
        "sid_corrected_se": cells(NATS, "standard error of the corrected SID"),
        "concentration": cells(NATS, "mean SID reached of the background minus that of the object", needs_masks=True),
        "concentration_corrected": cells(NATS, "the same at the optimum, estimated", needs_masks=True),
        "concentration_corrected_se": cells(NATS, "standard error of the corrected concentration", needs_masks=True),
        "feature_distance": cells("1", "feature distance reached, E / δ_f², on fresh noise"),
        "feature_distance_se": cells("1", "standard error of the feature distance"),
        "converged": cells("1", "whether the corrected SID is known to the tolerance", "bool"),
        "passes": cells("passes", "forward and backward passes of one noisy input", "int32"),
        "gap": cells(NATS, "upper estimate of the remaining gap to the optimum"),
        "capped_share": cells("1", "share of the pixels whose σ is at the cap"),
        "cap_matters": cells("1", "whether the mean depends on the cap", "bool"),
        "sid_map": maps(NATS, "strict information discarding reached of each pixel"),
        "correction_map": maps(NATS, "noisy estimate of what each pixel lacks to the optimum, for means"),
        "correction_se_map": maps(NATS, "standard error of the same"),
        "sigma": maps("input units", "standard deviation of the noise reached"),
    },
    corrected={"sid": "sid_corrected", "concentration": "concentration_corrected"},
    identity=identity_level,
    meaning="higher = more of the input is discarded",
    ends=("keeps more", "discards more"),
    columns={
        "sid_corrected": Column("SID ± se\nnats/pixel", error=True),
        "sid": Column("reached"),
        "concentration_corrected": Column("concentr.\n± se", ".2f", error=True),
        "n": Column("n", "d"),
        "feature_distance": Column("dist.", ".2f"),
        "gap": Column("gap"),
        "passes": Column("passes", ".0f"),
        "converged": Column("conv.", ".0%"),
        "capped_share": Column("at\ncap", SHARE),
    },
    reached_columns={
        "sid": Column("SID ± se\nreached", error=True),
        "concentration": Column("concentr.\nreached", ".2f", error=True),
    },
    labels={
        "sid": "SID reached (nats/pixel)\n↑ more discarded",
        "sid_corrected": "SID (nats/pixel)\n↑ more discarded",
        "concentration": "concentration reached\n(nats/pixel), ↑ on the object",
        "concentration_corrected": "concentration (nats/pixel)\n↑ on the object",
    },
)
