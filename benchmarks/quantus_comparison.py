"""SID beside other attribution methods under Quantus' metrics, as a table in Markdown.

    python -m benchmarks.quantus_comparison                       # the carried network and a dozen images
    python -m benchmarks.quantus_comparison --network zoo:resnet20 --weights FILE --data parquet:FILES --samples 50
        --layers layer1 layer2 layer3

SID enters as its importance (`infodiscard.adapters.captum.importance`), one row for each layer; the others explain the
class that the network predicts. Numbers are means over images with standard errors; an arrow says which way is better.
What each metric says of SID, and what it cannot, is in docs/quantus.md.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from infodiscard import ImageSet, Network, data, zoo
from infodiscard.adapters.quantus import explainer
from infodiscard.baselines import grad_cam, upsampled
from infodiscard.cli import keep_memory
from infodiscard.inputs import CAP_RANGES

Explainer = Callable[..., np.ndarray]

BETTER = {
    "MPRT (last layer)": "↓",
    "PixelFlipping (AUC)": "↓",
    "FaithfulnessCorrelation": "↑",
    "MaxSensitivity": "↓",
    "Sparseness": "",
    "RelevanceRankAccuracy": "↑",
}


def methods(layers: Sequence[str], grad_cam_layer: str, **options: Any) -> dict[str, Explainer]:
    """What is compared, by name; `options` are of SID's solver."""
    from captum.attr import IntegratedGradients, Occlusion, Saliency

    def of_captum(attribute: Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]) -> Explainer:
        def explain(model: torch.nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
            x = torch.as_tensor(np.array(inputs), dtype=torch.float32).requires_grad_()
            maps = attribute(model, x, torch.as_tensor(np.array(targets), dtype=torch.long))
            return maps.detach().sum(1, keepdim=True).numpy()

        return explain

    window = {"sliding_window_shapes": (3, 5, 5), "strides": (3, 2, 2)}
    others: dict[str, Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "Gradient": lambda model, x, y: Saliency(model).attribute(x, y),
        "Grad-CAM": lambda model, x, y: upsampled(grad_cam(model, grad_cam_layer, x, y), x.shape[2:])[:, None],
        "IntegratedGradients": lambda model, x, y: IntegratedGradients(model).attribute(x, target=y, n_steps=32),
        "Occlusion": lambda model, x, y: Occlusion(model).attribute(x, target=y, **window),
    }
    ours = {f"SID of {layer}": explainer(layer, **options) for layer in layers}
    return ours | {name: of_captum(method) for name, method in others.items()}


def metrics(repeats: int) -> dict[str, Any]:
    """Quantus' metrics by name; `repeats` is how often the two that draw at random draw."""
    import quantus

    quiet = {"disable_warnings": True, "display_progressbar": False}
    return {
        "MPRT (last layer)": quantus.MPRT(skip_layers=True, return_last_correlation=True, **quiet),
        "PixelFlipping (AUC)": quantus.PixelFlipping(features_in_step=32, perturb_baseline="mean", **quiet),
        "FaithfulnessCorrelation": quantus.FaithfulnessCorrelation(
            nr_runs=10 * repeats, subset_size=64, perturb_baseline="mean", return_aggregate=False, **quiet
        ),
        "MaxSensitivity": quantus.MaxSensitivity(nr_samples=repeats, lower_bound=0.02, **quiet),
        "Sparseness": quantus.Sparseness(**quiet),
        "RelevanceRankAccuracy": quantus.RelevanceRankAccuracy(**quiet),
    }


def compare(
    network: Network, images: ImageSet, chosen: dict[str, Explainer], wanted: dict[str, Any], seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """Evaluates the methods; returns the scores of the images by method and metric.

    The metric of localisation is left out where the images have no masks.
    """
    import quantus

    x = network.normalise(images.images)
    with torch.no_grad():
        predicted = network.module(x).argmax(1).numpy()
    masks = None if images.masks is None else images.masks[:, None].numpy()
    if masks is None:
        wanted = {name: metric for name, metric in wanted.items() if name != "RelevanceRankAccuracy"}
    scores = {}
    for name, method in chosen.items():
        np.random.seed(seed)  # the same perturbations for every method: Quantus draws from the global generator
        since = time.perf_counter()
        found = quantus.evaluate(
            wanted, {name: method}, network.module, x.numpy(), predicted, masks, explain_func_kwargs={}
        )
        scores[name] = {key: _per_image(value) for key, value in found[name].items()}
        print(f"<!-- {name}: {time.perf_counter() - since:.0f} s -->", flush=True)
    return scores


def _per_image(values: Any) -> np.ndarray:
    """One score per image; of a curve, the mean height (Quantus' own AUC needs a NumPy before 2.4)."""
    array = np.asarray(values, dtype=float)
    return array if array.ndim == 1 else np.trapezoid(array, axis=1) / (array.shape[1] - 1)


def table(scores: dict[str, dict[str, np.ndarray]]) -> str:
    """The scores' means and standard errors in Markdown."""
    names = list(next(iter(scores.values())))
    lines = ["| method | " + " | ".join(f"{name} {BETTER.get(name, '')}".strip() for name in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for method, row in scores.items():
        lines.append(f"| {method} | " + " | ".join(_cell(row[name]) for name in names) + " |")
    return "\n".join(lines)


def _cell(values: np.ndarray) -> str:
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{values.mean():.3f} ± {error:.3f}"


def main() -> None:
    """Runs it all."""
    keep_memory()
    parser = argparse.ArgumentParser(description="Compares SID with other attribution methods under Quantus' metrics.")
    add = parser.add_argument
    add("--network", default="demo")
    add("--weights")
    add("--data", default="demo")
    add("--samples", type=int, help="how many images; all by default")
    add("--layers", nargs="*", default=["layer1", "layer2", "layer3", "linear"], help="of SID")
    add("--grad-cam-layer", default="layer3")
    add("--passes", type=int, default=1600, help="most passes of SID's solver")
    add("--tolerance", type=float, default=0.02, help="gap at which it stops")
    add(
        "--repeats", type=int, default=10, help="draws of MaxSensitivity; FaithfulnessCorrelation has ten times as many"
    )
    options = parser.parse_args()
    network = zoo.load(options.network, options.weights)
    images = data.load(options.data, options.samples, network.input_size)
    solver = {
        "max_passes": options.passes,
        "tolerance": options.tolerance,
        "cap": CAP_RANGES / min(network.std or (1.0,)),
    }
    chosen = methods(options.layers, options.grad_cam_layer, **solver)
    print(table(compare(network, images, chosen, metrics(options.repeats))))


if __name__ == "__main__":
    main()
