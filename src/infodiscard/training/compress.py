"""Deep Compression of conv and linear weights: pruning, weight sharing, and what a file of them would take.

After Han, Mao & Dally, "Deep Compression" (ICLR 2016), whose pruning is that of Han, Pool, Tran & Dally, "Learning both
Weights and Connections" (NIPS 2015). Biases and norm layers are left alone.
"""

from __future__ import annotations

import heapq
import json
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import InfodiscardError, nearest
from ..networks.network import Network, weights_hash
from ..zoo import load as load_network
from ..zoo.autoencoder import AutoEncoder
from .pruning import prune, weight_tensors
from .recipe import Recipe, differing
from .runtime import make_folder
from .train_network import accuracy, held_out, train

if TYPE_CHECKING:
    import pandas as pd

Accuracies = dict[str, float | None]

BITS: Mapping[str, int] = {"conv": 8, "linear": 5}
"""Bits per index of a shared value, by kind of layer (Han et al. 2016, section 3)."""

POSITION_BITS: Mapping[str, int] = {"conv": 8, "linear": 5}
"""Bits per relative position of a weight that is left, by kind of layer (Han et al. 2016, section 2)."""

MOST_BITS = 16


@torch.no_grad()
def share(module: nn.Module, bits: int | Mapping[str, int] = BITS, iterations: int = 1000) -> None:
    """Lets the weights of each tensor share a few values, in place; those that are 0 stay so.

    Args:
        module: any module with conv or linear layers.
        bits: per index of a shared value, 1 … 16, so that a tensor has 2**bits values at most, counting 0 if it occurs;
            for all, or by "conv", "linear" or parameter name, where a name goes before its kind, and what is not named
            is as in `BITS`.
        iterations: of k-means at most; it ends once nothing changes.

    Raises:
        InfodiscardError: bits or iterations are out of range, or for an unknown name.
    """
    found = weight_tensors(module)
    chosen = _bits_of(found, bits)
    if iterations < 0:
        raise InfodiscardError(f"iterations is {iterations}; give 0 or more.")
    for name, (weight, _) in found.items():
        flat = weight.double().cpu().flatten()
        left = flat != 0
        values = flat[left]
        count = 2 ** chosen[name] - int(len(values) < len(flat))
        if len(values.unique()) > count:
            centroids = k_means(values, count, iterations)
            flat[left] = centroids[torch.bucketize(values, _borders(centroids))]
            weight.copy_(flat.view_as(weight))


def k_means(values: torch.Tensor, count: int, iterations: int = 1000) -> torch.Tensor:
    """Returns the cluster centres of numbers, ascending, by Lloyd's algorithm.

    It starts from centres spread evenly over the range, which keeps the few large weights best (Han et al. 2016,
    section 3.2). A centre that loses all its numbers stays where it is. On sorted numbers a cluster is a range, whose
    sum is a difference of cumulative sums, so that an iteration costs count × log(numbers).

    Args:
        values: float64, `N`, at least one.
        count: of centres.
        iterations: at most; it ends once no number changes its cluster.

    Returns:
        float64, `count`.
    """
    values = values.sort().values
    centroids = torch.linspace(float(values[0]), float(values[-1]), count, dtype=values.dtype)
    sums = nn.functional.pad(values.cumsum(0), (1, 0))
    edges = torch.empty(0, dtype=torch.int64)
    for _ in range(iterations):
        inner = torch.searchsorted(values, _borders(centroids), right=True)
        before, edges = edges, nn.functional.pad(nn.functional.pad(inner, (1, 0)), (0, 1), value=len(values))
        if torch.equal(before, edges):
            break
        size = edges.diff()
        centroids = torch.where(size > 0, sums[edges].diff() / size.clamp(min=1), centroids)
    return centroids


def size_report(module: nn.Module) -> pd.DataFrame:
    """Returns what storing the weights would take, as they are now, by the formats of Han et al. (2016).

    Returns:
        A row for each weight tensor of a conv or linear layer, one for all `others` (biases and norm layers, stored as
        they are) and the `total`, with the columns `name`; `parameters`; `left`, those that are not 0; `share_left`, 0
        … 1; `shared_values`, how many different ones are left; `index_bits`, per index into the codebook; and in bytes
        `dense` (float32), `pruned` (float32 and relative positions), `shared` (codebook, indices and relative
        positions) and `huffman` (indices and positions as Huffman codes, with the tables of code lengths); `ratio`,
        dense / huffman.
    """
    import pandas as pd

    found = weight_tensors(module)
    rows: list[dict[str, Any]] = [
        {"name": name, **_sizes(weight.detach(), POSITION_BITS[kind])} for name, (weight, kind) in found.items()
    ]
    others = sum(parameter.numel() for parameter in module.parameters()) - sum(row["parameters"] for row in rows)
    if others:
        plain = dict.fromkeys(("dense", "pruned", "shared", "huffman"), 4 * others)
        rows.append({"name": "others", "parameters": others, "left": others, **plain})
    added = ("parameters", "left", "dense", "pruned", "shared", "huffman")
    rows.append({"name": "total", **{key: sum(row[key] for row in rows) for key in added}})
    table = pd.DataFrame(rows).astype({"shared_values": "Int64", "index_bits": "Int64"})
    table.insert(3, "share_left", table["left"] / table["parameters"])
    return table.assign(ratio=table["dense"] / table["huffman"])


def relative_indices(weights: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a sparse vector as Han et al. (2016, figure 2) store it.

    An entry's position is the step from the one before it, 1 … 2**bits; where a gap is wider, fillers of value 0 come
    every 2**bits.

    Args:
        weights: `N`.
        bits: per step.

    Returns:
        The entries' steps (int64; the first is from just before the vector) and their values.
    """
    positions = weights.nonzero().flatten()
    gaps = positions.diff(prepend=positions.new_tensor([-1]))
    fillers = (gaps - 1) // 2**bits
    entries = (fillers + 1).cumsum(0) - 1
    total = len(positions) + int(fillers.sum())
    steps = positions.new_full((total,), 2**bits)
    steps[entries] = gaps - fillers * 2**bits
    values = weights.new_zeros(total)
    values[entries] = weights[positions]
    return steps, values


def code_lengths(counts: Sequence[int]) -> list[int]:
    """Returns the bits of each symbol's Huffman code; a symbol that is alone needs none.

    Args:
        counts: how often each symbol occurs.
    """
    leaves = len(counts)
    nodes = max(2 * leaves - 1, 0)
    heap = [(count, node) for node, count in enumerate(counts)]
    heapq.heapify(heap)
    parent, depth = [0] * nodes, [0] * nodes
    for node in range(leaves, nodes):
        (one, first), (other, second) = heapq.heappop(heap), heapq.heappop(heap)
        parent[first] = parent[second] = node
        heapq.heappush(heap, (one + other, node))
    for node in reversed(range(nodes - 1)):  # from the root, which is last, down
        depth[node] = depth[parent[node]] + 1
    return depth[:leaves]


@dataclass(frozen=True)
class Compressed:
    """The end of a compression.

    Attributes:
        weights: the safetensors file, whose metadata hold the recipe and the accuracies.
        accuracy: share of test images classified correctly, 0 … 1, by stage: `original`, `pruned`, `retrained`,
            `shared`, and `tuned` if the shared values were trained; `None` each if there were no test
            images, or for an auto-encoder.
        report: what `size_report` says of the weights.
        recipe: everything that fixed them: that of the retraining, `threshold`, `bits` and so on.
    """

    weights: Path
    accuracy: Accuracies
    report: pd.DataFrame
    recipe: dict[str, Any]


def compress(
    network: str,
    data: str,
    threshold: float,
    out: str | Path,
    *,
    weights: str | Path,
    bits: int | Mapping[str, int] | None = None,
    share_epochs: int = 0,
    share_lr: float = 1e-5,
    test_data: str | None = None,
    test_samples: int | None = None,
    **recipe: Any,
) -> Compressed:
    """Prunes a trained network, retrains what is left, shares weights, and writes `out/compressed.safetensors`.

    The same call takes up what was interrupted, and trains nothing anew if all is there.

    Args:
        network: its spec with options, such as `zoo:vgg16,width=0.25`.
        data: spec of the training images, as `train` takes it.
        threshold: of `prune`, in standard deviations.
        out: folder for the weights of each stage; made if missing.
        weights: file of the trained weights.
        bits: of `share`; `None` for those of Han et al.
        share_epochs: passes over the images to train the shared values, 0 for none.
        share_lr: peak learning rate of these. As a value's gradient is the sum over all its weights, it has to be
            smaller than usual by about the number of weights per value.
        test_data: spec of the images that accuracy is measured on; if not given, the test split of `cifar10` or `cub`.
        test_samples: how many of the test images to use; `None` for all.
        recipe: other fields of `Recipe` for the retraining, such as epochs; lr is a tenth of the usual one if not
            given, as Han et al. (2015) retrain.

    Raises:
        InfodiscardError: whatever `prune`, `share` and `train` refuse, or `out` holds the files of another compression.
    """
    if share_epochs < 0 or not share_lr > 0:
        raise InfodiscardError("Give share_epochs of 0 or more and a share_lr above 0.")
    plan = Recipe.usual(network, data, keep="zeros", **recipe)
    if recipe.get("lr") is None:
        plan = replace(plan, lr=plan.lr / 10)
    original = load_network(plan.spec, weights)
    settings = asdict(plan) | {
        "weights": str(weights),
        "weights_hash": weights_hash(original.module),
        "threshold": threshold,
        "bits": _bits_of(weight_tensors(original.module), BITS if bits is None else bits),
        "share_epochs": share_epochs,
        "share_lr": share_lr,
        "test_data": test_data,
        "test_samples": test_samples,
    }
    folder = make_folder(Path(out))
    pruned, final = folder / "pruned.safetensors", folder / "compressed.safetensors"
    shared = folder / "shared.safetensors" if share_epochs else final

    def measure(stage: Network) -> float | None:
        images = held_out(test_data, plan, test_samples, stage)
        return None if images is None or isinstance(stage.module, AutoEncoder) else accuracy(stage, images)

    def further(start: Path, **changed: Any) -> tuple[Network, float | None]:
        fields = asdict(replace(plan, weights=str(start), **changed))
        place = folder / f"train-{fields['keep']}"
        trained = train(out=place, test_data=test_data, test_samples=test_samples, **fields)
        assert trained is not None  # as it is only if told to stop early
        return load_network(plan.spec, trained.weights), trained.accuracy

    def make_pruned() -> tuple[Network, Accuracies]:
        before = measure(original)
        prune(original.module, threshold)
        return original, {"original": before, "pruned": measure(original)}

    def make_shared() -> tuple[Network, Accuracies]:
        earlier = _stage(pruned, settings, make_pruned)
        retrained, right = further(pruned)
        share(retrained.module, settings["bits"])
        return retrained, earlier | {"retrained": right, "shared": measure(retrained)}

    def make_tuned() -> tuple[Network, Accuracies]:
        earlier = _stage(shared, settings, make_shared)
        tuned, right = further(shared, keep="shared", epochs=share_epochs, lr=share_lr)
        return tuned, earlier | {"tuned": right}

    accuracies = _stage(final, settings, make_tuned if share_epochs else make_shared)
    return Compressed(final, accuracies, size_report(load_network(plan.spec, final).module), settings)


def _stage(path: Path, settings: dict[str, Any], make: Callable[[], tuple[Network, Accuracies]]) -> Accuracies:
    """Writes the network that `make` returns, unless the file is there already; returns its accuracies."""
    from safetensors.torch import save_file

    if path.exists():
        return _recorded(path, settings)
    network, accuracies = make()
    metadata = {"recipe": json.dumps(settings), "accuracy": json.dumps(accuracies)}
    state = {key: value.cpu().contiguous() for key, value in network.module.state_dict().items()}
    unfinished = path.with_suffix(".part")
    save_file(state, unfinished, metadata)
    os.replace(unfinished, path)
    return accuracies


def _recorded(path: Path, settings: dict[str, Any]) -> Accuracies:
    """Returns the accuracies that a stage's file holds.

    Raises:
        InfodiscardError: it is no such file, or one of other settings.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        found, accuracies = json.loads(metadata["recipe"]), json.loads(metadata["accuracy"])
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise InfodiscardError(f"'{path}' is not a file of a compression; move it or choose another folder.") from error
    changed = differing(found, settings)
    if changed:
        raise InfodiscardError(
            f"'{path}' is of another compression (it differs in {changed}); choose another folder, or delete this one "
            "to start anew."
        )
    return accuracies


def _bits_of(found: Mapping[str, tuple[nn.Parameter, str]], bits: int | Mapping[str, int]) -> dict[str, int]:
    """Returns the bits of each weight tensor by parameter name; see `share`."""
    given = dict.fromkeys(BITS, bits) if isinstance(bits, int) else {**BITS, **bits}
    unknown = [name for name in given if name not in found and name not in BITS]
    if unknown:
        raise InfodiscardError(
            f"There are no weights '{unknown[0]}' to share; near it are {nearest(unknown[0], [*found])}."
        )
    for name, count in given.items():
        if not (isinstance(count, int) and 1 <= count <= MOST_BITS):
            raise InfodiscardError(f"The bits of '{name}' are {count}; give a whole number from 1 to {MOST_BITS}.")
    return {name: given.get(name, given[kind]) for name, (_, kind) in found.items()}


def _borders(centroids: torch.Tensor) -> torch.Tensor:
    """Returns the numbers halfway between ascending centres; what lies on one belongs to the lower centre."""
    return (centroids[1:] + centroids[:-1]) / 2


def _sizes(weight: torch.Tensor, position_bits: int) -> dict[str, int]:
    """Returns a weight tensor's row of `size_report`; positions count in row-major order."""
    flat = weight.cpu().flatten()
    left = flat[flat != 0]
    steps, values = relative_indices(flat, position_bits)
    counts = values.unique(return_counts=True)[1]
    if len(left) == len(flat):
        position_bits = 0  # as nothing is left out
    index_bits = max(len(counts) - 1, 0).bit_length()
    codebook = 32 * len(counts)
    bits = {
        "dense": 32 * len(flat),
        "pruned": len(steps) * (32 + position_bits),
        "shared": codebook + len(steps) * (index_bits + position_bits),
        "huffman": codebook + _huffman_bits(counts) + _huffman_bits(torch.bincount(steps)),
    }
    about = {"parameters": len(flat), "left": len(left), "shared_values": len(left.unique()), "index_bits": index_bits}
    return about | {key: -(-count // 8) for key, count in bits.items()}


def _huffman_bits(counts: torch.Tensor) -> int:
    """Returns the bits of all symbols' codes and of the table of their lengths, a byte each, that decoding takes."""
    occurring = [count for count in counts.tolist() if count]
    return 8 * len(counts) + sum(map(operator.mul, occurring, code_lengths(occurring)))
