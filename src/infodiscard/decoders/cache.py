"""The cache of trained decoders: one safetensors file each, found by what it was trained for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import InfodiscardError
from ..networks.network import weights_hash
from .architecture import Decoder

FORMAT = "infodiscard-decoder-1"
SUFFIX = ".safetensors"
CARRIED = Path(__file__).parents[1] / "demo" / "decoders"


@dataclass(frozen=True)
class TrainedDecoder:
    """A decoder and where it comes from.

    Attributes:
        module: from the layer's feature to the network's normalised input space; in eval mode, its parameters without
            gradients.
        layer: address of the layer that it decodes.
        weights_hash: of the network that it was trained for.
        feature_shape: of the feature, without the batch dimension.
        input_shape: channels, height and width of the input.
        mean: per-channel mean of the normalisation that it was trained in.
        std: per-channel standard deviation likewise.
        quality: on held-out images: `mse` in the normalised input space; `psnr` in dB and `ssim` in image space, means
            over images (`ssim` is missing where images are too small for its window).
        held_out: the images that `quality` was measured on, in words.
        recipe: what its training was fixed by.
        data_hash: of the training images.
        digest: SHA-256 of its parameters and statistics.
        path: its file.
    """

    module: Decoder = field(repr=False, compare=False)
    layer: str
    weights_hash: str
    feature_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quality: dict[str, float]
    held_out: str
    recipe: dict[str, Any]
    data_hash: str
    digest: str
    path: Path


def default_folder() -> Path:
    """Returns `decoders` below `INFODISCARD_CACHE` if that is set, else below `infodiscard` in the user's cache."""
    given = os.environ.get("INFODISCARD_CACHE")
    cache = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "infodiscard"
    return cache.expanduser() / "decoders"


def training_key(what: Mapping[str, Any]) -> str:
    """Returns the hash of all that a training depends on, which names its files: equal for equal trainings only."""
    return hashlib.sha256(json.dumps([FORMAT, dict(what)], sort_keys=True).encode()).hexdigest()


def file_of(folder: Path, layer: str, key: str) -> Path:
    """Returns the path of a decoder's file, from its layer and the hash of its training."""
    return folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', layer)[:60]}-{key[:16]}{SUFFIX}"


def find(
    network_hash: str,
    layer: str,
    feature_shape: Sequence[int],
    input_shape: Sequence[int],
    folders: str | Path | Sequence[str | Path] = (),
    *,
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
    network: str = "NETWORK",
    layers: Sequence[str] = (),
) -> TrainedDecoder:
    """Returns the decoder of a layer; of several, the one of least held-out MSE.

    Besides `folders` it looks among the decoders that the package carries, which are for the network `demo`.

    Args:
        network_hash: of the network's weights, as `network.weights_hash` returns it.
        layer: the layer's address.
        feature_shape: of the layer's feature, without the batch dimension.
        input_shape: channels, height and width of the input.
        folders: where to look; the user's cache if none are given.
        normalisation: (mean, std) that the decoder must have been trained in; `None` if any will do.
        network: the network's spec, for the message.
        layers: all that decoders are wanted for, likewise; that layer alone by default.

    Raises:
        InfodiscardError: there is none, or only ones for other weights, another layer, size or normalisation.
    """
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    places = [Path(place).expanduser() for place in given] or [default_folder()]
    headers, broken = _headers(places)
    headers += [item for item in _headers([CARRIED])[0] if item[1]["weights_hash"] == network_hash]
    wanted: dict[str, Any] = {
        "weights_hash": network_hash,
        "layer": layer,
        "input_shape": list(input_shape),
        "feature_shape": list(feature_shape),
    }
    if normalisation is not None:
        wanted |= {"mean": list(normalisation[0]), "std": list(normalisation[1])}
    matching = [(each["quality"]["mse"], each["digest"], path) for path, each in headers if _fits(each, wanted)]
    if not matching:
        reason = _reason(wanted, [each for _, each in headers], broken, places)
        command = _command(layers or [layer], places, given != [], network)
        raise InfodiscardError(f"{reason}; train {'them' if len(layers) > 1 else 'one'} with {command}.")
    return load(min(matching)[2])


def _fits(header: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(header[name] == value for name, value in wanted.items())


def _command(layers: Sequence[str], places: Sequence[Path], given: bool, network: str) -> str:
    where = f" --decoders {places[0]}" if given else ""
    return f"infodiscard train-decoder {network} --layers '{','.join(layers)}' --data SPEC{where}"


def _reason(
    wanted: Mapping[str, Any], headers: Sequence[Mapping[str, Any]], broken: Sequence[Path], places: Sequence[Path]
) -> str:
    """Says why none of the decoders there will do, by the nearest of them."""
    layer, where = wanted["layer"], " or ".join(f"'{place}'" for place in places)
    begin = f"There is no decoder for layer '{layer}' of this network in {where}"
    same_weights = [each for each in headers if each["weights_hash"] == wanted["weights_hash"]]
    same_layer = [each for each in headers if each["layer"] == layer]
    both = [each for each in same_weights if each["layer"] == layer]
    if both:
        one = next((each for each in both if each["input_shape"] == wanted["input_shape"]), both[0])
        for name, words in (("input_shape", "inputs of"), ("feature_shape", "features of"), ("mean", "a mean of")):
            if name in wanted and one[name] != wanted[name]:
                return f"{begin} for {words} {_times(wanted[name])}: the one there is for {_times(one[name])}"
        return f"{begin} for this normalisation: the one there has another standard deviation"
    if broken:
        return f"{begin}, and '{broken[0]}' there is broken: delete it"
    if same_weights:
        return f"{begin}: those there are for {', '.join(sorted({each['layer'] for each in same_weights}))}"
    if same_layer:
        return f"{begin}: those there for a layer of that name are of a network with other weights"
    return begin


def _times(numbers: Sequence[float]) -> str:
    return "×".join(f"{number:g}" for number in numbers) if numbers else "a single number"


def _headers(places: Sequence[Path]) -> tuple[list[tuple[Path, dict[str, Any]]], list[Path]]:
    """Returns what the decoders' files say of themselves, and the paths of those that are broken."""
    headers, broken = [], []
    for path in [path for place in places for path in sorted(place.glob(f"*{SUFFIX}"))]:
        try:
            headers.append((path, _header(path)))
        except InfodiscardError:
            broken.append(path)
    return headers, broken


def _header(path: Path) -> dict[str, Any]:
    """Reads what a decoder's file says of itself, without its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["decoder"])
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
    except FileNotFoundError as error:
        raise InfodiscardError(f"There is no decoder '{path}'; train one with infodiscard train-decoder.") from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InfodiscardError(
            f"'{path}' is not a whole file of a decoder; delete it and train the decoder again."
        ) from error
    return header


def load(path: str | Path) -> TrainedDecoder:
    """Reads one decoder.

    Raises:
        InfodiscardError: the file is missing, broken, changed, or not a decoder's.
    """
    from safetensors.torch import load_file

    path = Path(path).expanduser()
    header = _header(path)
    with torch.random.fork_rng(devices=[]):  # its random weights are only replaced
        module = Decoder(header["feature_shape"], header["input_shape"], header["recipe"]["width"])
    try:
        module.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (OSError, RuntimeError) as error:
        raise InfodiscardError(
            f"'{path}' does not hold the parameters of its decoder; delete it and train the decoder again."
        ) from error
    if weights_hash(module) != header["digest"]:
        raise InfodiscardError(f"'{path}' was changed after it was written; delete it and train the decoder again.")
    return _trained(module, header, path)


def save(module: Decoder, path: Path, about: Mapping[str, Any]) -> TrainedDecoder:
    """Writes a decoder, all of it or nothing.

    Args:
        module: on any device.
        path: the file; replaced if it is there.
        about: the attributes of `TrainedDecoder` that the module and the path do not tell, and `half` in its recipe:
            whether weights are written in 16 bits. The module must have been through `halve` then.

    Raises:
        InfodiscardError: it cannot be written.
    """
    from safetensors.torch import save as to_bytes

    header = {
        **about,
        "format": FORMAT,
        "feature_shape": list(module.feature_shape),
        "input_shape": list(module.input_shape),
        "digest": weights_hash(module),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    if about["recipe"]["half"]:
        tensors = {name: value.half() if _is_weight(value) else value for name, value in tensors.items()}
    write(path, to_bytes(tensors, {"decoder": json.dumps(header)}))
    return load(path)


def halve(module: Decoder) -> None:
    """Rounds the weights to what 16 bits can hold, in place; biases and statistics keep their precision."""
    for value in module.state_dict().values():
        if _is_weight(value):
            value.copy_(value.half().float())


def _is_weight(value: torch.Tensor) -> bool:
    return value.ndim > 1


def _trained(module: Decoder, header: Mapping[str, Any], path: Path) -> TrainedDecoder:
    return TrainedDecoder(
        module.eval().requires_grad_(False),
        header["layer"],
        header["weights_hash"],
        module.feature_shape,
        module.input_shape,
        tuple(header["mean"]),
        tuple(header["std"]),
        header["quality"],
        header["held_out"],
        header["recipe"],
        header["data_hash"],
        header["digest"],
        path,
    )


def write(path: Path, data: bytes) -> None:
    """Writes a file aside and then puts it in place, so that a full disk or a kill leaves the old one.

    Raises:
        InfodiscardError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a full disk may not show before
        os.replace(aside, path)
    except OSError as error:
        raise InfodiscardError(
            f"'{path}' cannot be written ({error.strerror or error}), and what was there before is kept; mend that "
            "(free space, permissions, another folder) and run the same again, which goes on from there."
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink()
