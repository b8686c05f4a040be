"""SID beside other attribution methods under Quantus' metrics, as a table in Markdown.

    python -m benchmarks.quantus_comparison --out table.md        # the carried network and a dozen images
    python -m benchmarks.quantus_comparison --network zoo:resnet20 --weights FILE --data cifar10 --samples 32
    python -m benchmarks.quantus_comparison --network zoo:resnet20 --weights FILE --data cub:DIR --crop 1.5
        --samples 64 --metrics RelevanceRankAccuracy

SID enters as its importance (`integrations.captum.importance`), one row for each layer; the others explain the class
that the network predicts. Numbers are means over images with standard errors; an arrow says which way is better.
Two rows say what is nothing: a map drawn at random, which looks at no network, and what chance has in theory.
What each metric says of SID, and what it cannot, is in docs/quantus.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from infodiscard import ImageSet, InfodiscardError, Network, data, zoo
from infodiscard.analysis.attribution import grad_cam, upsampled
from infodiscard.cli import keep_memory
from infodiscard.core.files import translate_os_errors
from infodiscard.data.inputs import CAP_RANGES
from infodiscard.integrations.quantus import explainer
from infodiscard.networks.network import weights_hash

Explainer = Callable[..., np.ndarray]

BETTER = {
    "MPRT (last layer)": "↓",
    "PixelFlipping (AUC)": "↓",
    "FaithfulnessCorrelation": "↑",
    "MaxSensitivity": "↓",
    "Sparseness": "",
    "RelevanceRankAccuracy": "↑",
}
LOCALISATION = "RelevanceRankAccuracy"
RANDOM = "random map"


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
    found = ours | {name: of_captum(method) for name, method in others.items()} | {RANDOM: _random}
    return {name: _remembered(method) for name, method in found.items()}


def _random(model: torch.nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
    """Explains nothing: uniform noise, other noise for another network or other inputs."""
    seed = int.from_bytes(hashlib.sha256(_key(model, inputs)).digest()[:8], "little")
    n, _channels, height, width = np.shape(inputs)
    return np.random.default_rng(seed).random((n, 1, height, width), np.float32)


def _remembered(method: Explainer) -> Explainer:
    """Explains the same inputs of the same network once, although every metric asks for the maps again."""
    known: dict[bytes, np.ndarray] = {}

    def explain(model: torch.nn.Module, inputs: Any, targets: Any, **others: Any) -> np.ndarray:
        key = _key(model, inputs)
        if key not in known:
            known[key] = method(model, inputs, targets, **others)
        return known[key].copy()

    return explain


def _key(model: torch.nn.Module, inputs: Any) -> bytes:
    # What is explained is always the class that the network, as it was trained, predicts: it need not be in the key.
    return weights_hash(model).encode() + np.ascontiguousarray(inputs, dtype=np.float32).tobytes()


def _check_installed() -> None:
    """Raises InfodiscardError if Captum or Quantus is missing."""
    for name in ("captum", "quantus"):
        if importlib.util.find_spec(name) is None:
            raise InfodiscardError(
                f"This needs {name.capitalize()}; install it with pip install 'infodiscard[{name}]'."
            )


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

    The metric of localisation is left out where the images have no masks. A score is NaN where the metric has none, as
    MaxSensitivity where a perturbation changes the class.
    """
    import quantus

    x = network.normalise(images.images)
    with torch.no_grad():
        predicted = network.module(x).argmax(1).numpy()
    masks = None if images.masks is None else images.masks[:, None].numpy()
    if masks is None:
        wanted = {name: metric for name, metric in wanted.items() if name != LOCALISATION}
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


def chances(images: ImageSet) -> dict[str, np.ndarray]:
    """Returns what a random order of the pixels is expected to score, image by image, where that is known.

    No correlation; and of as many pixels as the object has, the object's share of the image on the object.
    """
    none = np.zeros(len(images))
    known = {"MPRT (last layer)": none, "FaithfulnessCorrelation": none}
    if images.masks is not None:
        known[LOCALISATION] = images.masks.float().mean((1, 2)).numpy().astype(float)
    return known


def tabulated(scores: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """Returns one row per method and metric: mean over images, standard error (n − 1), number of images."""
    rows = []
    for method, row in scores.items():
        for metric, values in row.items():
            valid = values[np.isfinite(values)]
            error = valid.std(ddof=1) / math.sqrt(len(valid)) if len(valid) > 1 else math.nan
            mean = valid.mean() if len(valid) else math.nan
            rows.append({"method": method, "metric": metric, "better": BETTER.get(metric, ""), "n": len(valid)})
            rows[-1] |= {"mean": mean, "se": error}
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """Returns the same for reading: a row per method, a column per metric."""
    better = table.drop_duplicates("metric").set_index("metric")["better"]
    lines = ["| method | " + " | ".join(f"{name} {arrow}".strip() for name, arrow in better.items()) + " |"]
    lines.append("|---" * (len(better) + 1) + "|")
    for method, rows in table.groupby("method", sort=False):
        cells = {row["metric"]: _cell(row) for row in rows.to_dict("records")}
        lines.append(f"| {method} | " + " | ".join(cells.get(name, "–") for name in better.index) + " |")
    return "\n".join(lines)


def _cell(row: dict[Any, Any]) -> str:
    if not row["n"]:
        return "–"
    return f"{row['mean']:.3f}" + (f" ± {row['se']:.3f}" if row["se"] > 0 else "")


def _write(table: pd.DataFrame, out: Path) -> None:
    """Writes the table as CSV or Markdown, as the ending says."""
    with translate_os_errors("write the table", out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".csv":
            table.to_csv(out, index=False)
        else:
            out.write_text(markdown(table) + "\n", encoding="utf-8")


def main() -> None:
    """Runs it all."""
    keep_memory()
    parser = argparse.ArgumentParser(description="Compares SID with other attribution methods under Quantus' metrics.")
    add = parser.add_argument
    add("--network", default="demo")
    add("--weights")
    add("--data", default="demo")
    add("--samples", type=int, help="how many images; all by default")
    add("--crop", type=float, help="for 'cub': times the bird's box to keep")
    add("--layers", nargs="*", default=["layer1", "layer3"], help="of SID")
    add("--metrics", nargs="*", choices=list(BETTER), help="some of them; all by default")
    add("--grad-cam-layer", default="layer3")
    add("--passes", type=int, default=1600, help="most passes of SID's solver")
    add("--tolerance", type=float, default=0.02, help="gap at which it stops")
    add(
        "--repeats", type=int, default=10, help="draws of MaxSensitivity; FaithfulnessCorrelation has ten times as many"
    )
    add("--out", type=Path, help="also write the table here, as FILE.csv or FILE.md")
    options = parser.parse_args()
    if options.out is not None and options.out.suffix not in (".csv", ".md"):
        parser.error(f"--out was {options.out}; give a file that ends in .csv or .md")
    try:
        found = _compared(options)
    except InfodiscardError as error:
        parser.error(str(error))
    print(markdown(found))
    if options.out is not None:
        _write(found, options.out)


def _compared(options: argparse.Namespace) -> pd.DataFrame:
    """Loads what the options name, and compares."""
    _check_installed()
    network = zoo.load(options.network, options.weights)
    images = data.load(options.data, options.samples, network.input_size, crop=options.crop)
    solver = {
        "max_passes": options.passes,
        "tolerance": options.tolerance,
        "cap": CAP_RANGES / min(network.std or (1.0,)),
    }
    chosen = methods(options.layers, options.grad_cam_layer, **solver)
    wanted = {name: each for name, each in metrics(options.repeats).items() if name in (options.metrics or BETTER)}
    if images.masks is None and set(wanted) == {LOCALISATION}:
        raise InfodiscardError(f"{LOCALISATION} needs masks or boxes, which the data '{options.data}' do not have.")
    scores = compare(network, images, chosen, wanted)
    first = next(iter(scores.values()))
    return tabulated(scores | {"chance": {name: each for name, each in chances(images).items() if name in first}})


if __name__ == "__main__":
    main()
