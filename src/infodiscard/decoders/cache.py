"""The cache of trained decoders: a safetensors file each, found by the network, layer and shapes it was trained for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from ..core.files import cache_folder, read_safetensors_header, translate_os_errors, write_atomically
from ..core.fingerprint import Fingerprint, alike
from ..errors import InfodiscardError
from ..networks.network import weights_hash
from .architecture import Decoder
from .recipe import DecoderRecipe

FORMAT = "infodiscard-decoder-1"
SUFFIX = ".safetensors"
CARRIED = Path(__file__).parents[1] / "demo" / "decoders"


@dataclass(frozen=True)
class Origin:
    """Everything that the weights of a decoder depend on.

    Attributes:
        layer: address of the layer that it decodes.
        weights_hash: of the network that it was trained for.
        mean: per-channel mean of the normalisation that it was trained in.
        std: per-channel standard deviation of that normalisation.
        data_hash: of the training images.
        recipe: of its training.
    """

    layer: str
    weights_hash: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data_hash: str
    recipe: DecoderRecipe

    def file(self, folder: Path) -> Path:
        """Returns the path of the decoder's file in a folder: equal for equal origins only."""
        key = hashlib.sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode()).hexdigest()
        return folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.layer)[:60]}-{key[:16]}{SUFFIX}"


@dataclass(frozen=True)
class TrainedDecoder:
    """A decoder, what it was trained for, and how well it does.

    Attributes:
        module: from the layer's feature to the network's normalised input space; in eval mode, its parameters without
            gradients.
        origin: what its weights depend on.
        feature_shape: of the feature, without the batch dimension.
        input_shape: channels, height and width of the input.
        quality: on held-out images: `mse` in the normalised input space; `psnr` in dB and `ssim` in image space, means
            over images (`ssim` is missing where images are too small for its window).
        held_out: the images that `quality` was measured on, in words.
        digest: SHA-256 of its parameters and statistics.
        path: its file.
        features: fingerprint of the layer's feature of `fixed_input`; empty in older files. It tells networks of the
            same weights and other code apart.
    """

    module: Decoder = field(repr=False, compare=False)
    origin: Origin
    feature_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    quality: dict[str, float]
    held_out: str
    digest: str
    path: Path
    features: Fingerprint = ()

    @property
    def layer(self) -> str:
        """Address of the layer that it decodes."""
        return self.origin.layer


def default_folder() -> Path:
    """Returns `decoders` in the package's cache (`core.files.cache_folder`)."""
    return cache_folder() / "decoders"


def fixed_input(shape: Sequence[int]) -> torch.Tensor:
    """Returns the normalised input, `1 × C × H × W`, on which a decoder's layer is known again."""
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))


def find(
    network_hash: str,
    layer: str,
    feature_shape: Sequence[int],
    input_shape: Sequence[int],
    folders: str | Path | Sequence[str | Path] = (),
    *,
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
    features: Fingerprint = (),
    network: str = "NETWORK",
    layers: Sequence[str] = (),
) -> TrainedDecoder:
    """Returns the decoder of a layer; of several, the one with the least held-out MSE.

    It also searches the decoders that the package carries, which are for the network `demo`.

    Args:
        network_hash: of the network's weights, as `network.weights_hash` returns it.
        layer: the layer's address.
        feature_shape: of the layer's feature, without the batch dimension.
        input_shape: channels, height and width of the input.
        folders: where to search; the user's cache if none are given.
        normalisation: (mean, std) that the decoder must have been trained in; `None` for any.
        features: fingerprint of the layer's feature of `fixed_input`; empty if any will do.
        network: the network's spec, for the message.
        layers: all layers that need decoders, for the message; that layer alone by default.

    Raises:
        InfodiscardError: there is none, or only ones for other weights, another layer, size or normalisation.
    """
    named = [folders] if isinstance(folders, str | Path) else list(folders)
    places = [Path(folder).expanduser() for folder in named] or [default_folder()]
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
    fitting = [(path, each) for path, each in headers if _fits(each, wanted)]
    matching = [(each["quality"]["mse"], each["digest"], path) for path, each in fitting if _knows(each, features)]
    if not matching:
        reason = (
            f"The decoder for layer '{layer}' in '{fitting[0][0].parent}' is of a network with the same weights and "
            "other code, whose features are others"
            if fitting
            else _reason(wanted, [each for _, each in headers], broken, places)
        )
        command = _command(layers or [layer], places, named != [], network)
        raise InfodiscardError(f"{reason}; train {'them' if len(layers) > 1 else 'one'} with {command}.")
    return load(min(matching)[2])


def _fits(header: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(header[name] == value for name, value in wanted.items())


def _knows(header: Mapping[str, Any], features: Fingerprint) -> bool:
    """Whether a decoder was trained on such features, or either is not known."""
    return not (features and header.get("features")) or alike(_fingerprint(header), features)


def _fingerprint(header: Mapping[str, Any]) -> Fingerprint:
    return tuple((float(value), float(error)) for value, error in header.get("features", ()))


def _command(layers: Sequence[str], places: Sequence[Path], named: bool, network: str) -> str:
    where = f" --decoders {places[0]}" if named else ""
    return f"infodiscard train-decoder {network} --layers '{','.join(layers)}' --data SPEC{where}"


def _reason(
    wanted: Mapping[str, Any], headers: Sequence[Mapping[str, Any]], broken: Sequence[Path], places: Sequence[Path]
) -> str:
    """Says why none of the decoders there fits, by the nearest of them."""
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
    """Returns the headers of the decoders' files, and the paths of broken files."""
    headers, broken = [], []
    files = []
    for place in places:
        with translate_os_errors("read the decoders in", place):
            files += sorted(place.glob(f"*{SUFFIX}"))
    for path in files:
        try:
            headers.append((path, _header(path)))
        except InfodiscardError:
            broken.append(path)
    return headers, broken


def _header(path: Path) -> dict[str, Any]:
    """Reads the header of a decoder's file, without its tensors."""
    try:
        header: dict[str, Any] = json.loads(read_safetensors_header(path)["decoder"])
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
    except FileNotFoundError as error:
        raise InfodiscardError(f"There is no decoder '{path}'; train one with infodiscard train-decoder.") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InfodiscardError(
            f"'{path}' is not a whole file of a decoder; delete it and train the decoder again."
        ) from error
    return header


def load(path: str | Path) -> TrainedDecoder:
    """Reads one decoder.

    Raises:
        InfodiscardError: the file is missing, broken, changed, or not a decoder's.
    """
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


def save(
    module: Decoder,
    path: Path,
    origin: Origin,
    quality: dict[str, float],
    held_out: str,
    features: Fingerprint = (),
) -> TrainedDecoder:
    """Writes a decoder, all of it or nothing.

    Args:
        module: on any device; where the recipe says `half`, `halve` must have rounded it before.
        path: the file; replaced if it is there.
        origin: what its weights depend on.
        quality: on held-out images, as `TrainedDecoder` has it.
        held_out: these images in words.
        features: fingerprint of the layer's feature of `fixed_input`.

    Raises:
        InfodiscardError: it cannot be written.
    """
    header = asdict(origin) | {
        "quality": quality,
        "held_out": held_out,
        "format": FORMAT,
        "feature_shape": list(module.feature_shape),
        "input_shape": list(module.input_shape),
        "digest": weights_hash(module),
        "features": features,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    if origin.recipe.half:
        tensors = {name: value.half() if _is_weight(value) else value for name, value in tensors.items()}
    content = to_bytes(tensors, {"decoder": json.dumps(header)})
    with translate_os_errors("write", path):
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return load(path)


def halve(module: Decoder) -> None:
    """Rounds the weights to 16 bits, in place; biases and statistics keep their precision."""
    for value in module.state_dict().values():
        if _is_weight(value):
            value.copy_(value.half().float())


def _is_weight(value: torch.Tensor) -> bool:
    return value.ndim > 1


def _trained(module: Decoder, header: Mapping[str, Any], path: Path) -> TrainedDecoder:
    known = {item.name for item in fields(DecoderRecipe)}
    origin = Origin(
        header["layer"],
        header["weights_hash"],
        tuple(header["mean"]),
        tuple(header["std"]),
        header["data_hash"],
        DecoderRecipe(**{name: value for name, value in header["recipe"].items() if name in known}),
    )
    return TrainedDecoder(
        module.eval().requires_grad_(False),
        origin,
        module.feature_shape,
        module.input_shape,
        header["quality"],
        header["held_out"],
        header["digest"],
        path,
        _fingerprint(header),
    )
