"""Maps (the paper's Fig. 1, right): pixel-level SID and RU, and what is reconstructed best."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ...plots import map_sheet
from ..findings import Findings, layer_means
from ..lab import Lab, TrainedNetwork
from ..verdicts import Claim, direction

NAME, TITLE = "maps", "where in the image is information discarded, and what is reconstructed best?"
LAYERS = ("layer1", "layer2", "layer3")
SHOWN = 6  # images in the figure
UPPER = 0.75  # quantile of the local gradient's energy above which pixels are edges or textures


def run(lab: Lab) -> Findings:
    """Measures SID and RU of a ResNet's stages, and compares RU at edges, textures and colours."""
    trained = network(lab)
    sid, ru = lab.sid(trained, LAYERS), lab.ru(trained, LAYERS)
    table = layer_means(trained, sid, ru, layers=LAYERS)
    kinds = {name: region(image) for name, image in zip(lab.images.names, lab.images.images, strict=True)}
    maps = ru.dataset["ru_map"].transpose("sample", "network", "layer", "y", "x")
    rows = []
    for name in maps["sample"].values.tolist():
        for layer in LAYERS:
            values = maps.sel(sample=name, layer=layer).values[0]
            means = {kind: float(values[mask].mean()) for kind, mask in kinds[name].items() if mask.any()}
            rows.append({"sample": name, "layer": layer, **means})
    frame = pd.DataFrame(rows)
    figures = {
        f"{metric}_maps": map_sheet(each, samples=list(range(min(SHOWN, len(each.plan.samples)))), metric=metric)
        for metric, each in (("sid", sid), ("ru", ru))
    }
    by_kind = frame.groupby("layer")[["edges", "textures", "colours"]].mean()
    notes = (
        f"Network: {trained.name}, test accuracy {trained.accuracy:.1%}.",
        "Edges and textures are the quarter of an image's pixels with the most gradient energy (of luminance, by the "
        "structure tensor); edges the half of these with the most coherence, textures the other half. Colours are "
        "pixels with no more energy than the median and more chroma than the median. RU by kind, nats/pixel: "
        + "; ".join(
            f"{layer} edges {row['edges']:.2f}, textures {row['textures']:.2f}, colours {row['colours']:.2f}"
            for layer, row in by_kind.iterrows()
        )
        + ".",
    )
    return Findings(NAME, TITLE, _claims(frame), table, figures, notes)


def network(lab: Lab) -> TrainedNetwork:
    """Returns the given ResNet-20, or else the one trained here."""
    depth = lab.preset.depths[0]
    return lab.given(f"resnet{depth}") or lab.train(f"zoo:resnet{depth}")


def region(image: torch.Tensor) -> dict[str, np.ndarray]:
    """Returns masks of an image's edges, textures and flat colours.

    The structure tensor J is the outer product of luminance's Sobel gradient, averaged over 5×5 pixels; its trace is
    the energy and (λ₁ − λ₂)/(λ₁ + λ₂) of its eigenvalues the coherence (Jähne, Digital Image Processing, 13.3).

    Args:
        image: `3 × H × W` in [0, 1].
    """
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    luminance = (image * weights).sum(0)
    chroma = (image - luminance).square().sum(0).sqrt()
    sobel = image.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    padded = F.pad(luminance[None, None], (1, 1, 1, 1), mode="replicate")
    gx, gy = (F.conv2d(padded, kernel[None, None])[0, 0] for kernel in (sobel, sobel.T))

    def blurred(values: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(F.pad(values[None, None], (2, 2, 2, 2), mode="replicate"), 5, stride=1)[0, 0]

    xx, yy, xy = blurred(gx * gx), blurred(gy * gy), blurred(gx * gy)
    energy = xx + yy
    coherence = ((xx - yy).square() + 4 * xy.square()).sqrt() / energy.clamp(min=1e-12)
    strong = energy > energy.quantile(UPPER)
    straight = coherence >= coherence[strong].quantile(0.5) if strong.any() else strong
    masks = {
        "edges": strong & straight,
        "textures": strong & ~straight,
        "colours": (energy <= energy.median()) & (chroma > chroma.median().clamp(min=1 / 255)),
    }
    return {name: mask.numpy() for name, mask in masks.items()}


def _claims(frame: pd.DataFrame) -> tuple[Claim, ...]:
    claims = []
    for other in ("textures", "colours"):
        differences = (frame[other] - frame["edges"]).groupby(frame["sample"]).mean()
        claims.append(
            direction(f"Edges are reconstructed better than {other}.", differences.tolist(),
                      f"RU at {other} minus RU at edges, mean over layers,", of="images")
        )  # fmt: skip
    return tuple(claims)
