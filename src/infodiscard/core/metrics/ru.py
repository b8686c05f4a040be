"""Reconstruction uncertainty (RU): the entropy of a decoder's error under the noise that a layer tolerates."""

from __future__ import annotations

from .metric import Column, Metric
from .variable import UNIT_MAP, Variable, cells, maps

NATS = "nats/pixel"

RU = Metric(
    name="ru",
    title="RU",
    long_name="reconstruction uncertainty",
    prefix="ru_",
    passes=1600,
    least_passes=256,  # for two steps, and for the feature distance before and after them
    passes_key="ru_max_passes",
    needs_decoders=True,
    kinds=("image",),
    variables={
        "ru": cells(NATS, "reconstruction uncertainty, mean over pixels"),
        "ru_floor": cells(NATS, "the same without noise: the decoder's own error"),
        "ru_concentration": cells(NATS, "mean RU of the background minus mean RU of the object", needs_masks=True),
        "ru_feature_distance": cells("1", "feature distance reached for RU, on fresh noise"),
        "ru_feature_distance_se": cells("1", "standard error of RU's feature distance"),
        "ru_converged": cells("1", "whether the solver met its tolerance for RU", "bool"),
        "ru_passes": cells("passes", "forward and backward passes of one noisy input for RU", "int32"),
        "ru_gap": cells(NATS, "estimated remaining gap of RU to the optimum"),
        "ru_map": maps(NATS, "reconstruction uncertainty of each pixel"),
        "ru_floor_map": maps(NATS, "the same without noise: the decoder's own error"),
        "ru_sigma": maps("input units", "standard deviation of the noise that confuses most"),
        "reconstruction": Variable(
            UNIT_MAP, "float32", "1", "the input as the decoder restores it from the clean feature, as an image"
        ),
    },
    meaning=(
        "higher = less of the input can be reconstructed; only what is above the floor, the decoder's error without "
        "noise, is the layer's doing"
    ),
    ends=("is restored better", "is restored worse"),
    columns={
        "ru": Column("RU ± se\nnats/pixel", error=True),
        "ru_floor": Column("floor"),
        "ru_concentration": Column("concentr.\n± se", ".2f", error=True),
        "n": Column("n", "d"),
        "ru_feature_distance": Column("dist.", ".2f"),
        "ru_gap": Column("gap"),
        "ru_passes": Column("passes", ".0f"),
        "ru_converged": Column("conv.", ".0%"),
    },
    labels={
        "ru": "RU (nats/pixel)\n↑ less can be recovered",
        "ru_floor": "floor of RU (nats/pixel)\n↑ worse decoder",
        "ru_concentration": "concentration of RU\n(nats/pixel), ↑ on the object",
    },
)
