"""Weights files: a module's state dict, read strictly and without unpickling objects, and written whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from ..core.files import read_safetensors_header, translate_os_errors, write_atomically
from ..errors import InfodiscardError, first_line
from ..networks.preserve import unwrap

SUFFIXES = (".safetensors", ".pt", ".pth")
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("ema", "model_ema", "ema_state_dict", "state_dict_ema", "ema_model", "params_ema"),
)
"""Keys under which training scripts commonly put the state dict; of several that fit, the first is loaded."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads a state dict into the module, in place.

    Where the keys of the file do not fit, but those within one of its dicts do (`WRAPPERS`), or those without a prefix
    that all of them have (such as `module.` of data-parallel training), these are loaded.

    Raises:
        InfodiscardError: the file is missing, of another kind, broken, or does not fit the module.
    """
    plain, read = unwrap(module), _read(path)
    states = [state for found in _nested(read) for state in _without_prefixes(found)]
    if not states:
        raise InfodiscardError(
            f"'{path}' holds no state dict; save the network's state_dict() alone, best as safetensors."
        )
    own = plain.state_dict()
    faults = {number: _faults(state, own) for number, state in enumerate(states)}
    best = min(faults, key=lambda number: sum(map(len, faults[number].values())))
    if any(faults[best].values()):
        named = "; ".join(f"{what}: {_some(keys)}" for what, keys in faults[best].items() if keys)
        raise InfodiscardError(
            f"The weights '{path}' do not fit {type(plain).__name__} ({named}); give weights of this architecture."
        )
    dense = {key: _as_stored(value, own[key]) for key, value in states[best].items()}
    try:
        plain.load_state_dict(dense, strict=False)  # checked above, but for counters that old files lack
    except Exception as error:
        raise InfodiscardError(
            f"The weights '{path}' cannot be loaded ({first_line(error)}); save the network's state_dict() alone, best "
            "as safetensors."
        ) from error


def trained_spec(path: Path) -> str:
    """Returns the spec of the network whose weights `infodiscard train` wrote into a file.

    Raises:
        InfodiscardError: there is no such file, it does not say, or it is a network of a Python file.
    """
    if not path.is_file():
        raise InfodiscardError(f"There is no weights file '{path}'; give the path of one that exists.")
    try:
        recipe = json.loads(read_safetensors_header(path)["recipe"])
        network = (recipe[-1] if isinstance(recipe, list) else recipe)["network"]
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InfodiscardError(
            f"'{path}' does not say which network its weights are of, as a file of infodiscard train does; name the "
            f"network and give the file as its weights, as in 'zoo:resnet20 --weights {path}'."
        ) from error
    if ".py:" in str(network):
        # Weights are only read, so that those of others are safe; what they name is not run.
        raise InfodiscardError(
            f"'{path}' is of '{network}', whose file is not run unless you name it; do so, and give the other as its "
            f"weights, as in '{network} --weights {path}'."
        )
    return str(network) if ":" in str(network) else f"zoo:{network}"


def save_weights(module: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes a module's state dict as safetensors, all of it or nothing.

    Raises:
        InfodiscardError: it cannot be written.
    """
    state = {key: value.cpu().contiguous() for key, value in module.state_dict().items()}
    content = to_bytes(state, dict(metadata))
    with translate_os_errors("write", path):
        write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _read(path: Path) -> Any:
    if path.suffix not in SUFFIXES:
        raise InfodiscardError(f"The weights '{path}' are of no known kind; give a .safetensors, .pt or .pth file.")
    if not path.is_file():
        raise InfodiscardError(f"There is no weights file '{path}'; give the path of one that exists.")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InfodiscardError(
            f"'{path}' is not a whole safetensors file ({error}); fetch or save it again."
        ) from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InfodiscardError(
            f"'{path}' is broken or holds more than tensors, which is not loaded, as it could run any code; save "
            "the network's state_dict() alone, best as safetensors."
        ) from error
    except Exception as error:  # a file that is not one may raise whatever it looks like
        raise InfodiscardError(f"'{path}' is not a whole PyTorch file; fetch or save it again.") from error


def _nested(read: Any, depth: int = 3) -> Iterator[dict[str, Any]]:
    """Yields what may be a state dict in what a file holds: itself, then what is in it under a usual key."""
    if not isinstance(read, Mapping) or not depth:
        return
    tensors = not read or any(isinstance(value, torch.Tensor) for value in read.values())
    if tensors and all(isinstance(key, str) for key in read):
        yield dict(read)
    for key in WRAPPERS:
        yield from _nested(read.get(key), depth - 1)


def _without_prefixes(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields a state dict as it is, and without each part of the names that all of them begin with."""
    yield state
    compiled = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    while True:
        if compiled != state and len(compiled) == len(state):
            yield compiled
        first = next(iter(compiled), "").partition(".")[0] + "."
        if not compiled or not all(key.startswith(first) for key in compiled):
            return
        compiled = {key.removeprefix(first): value for key, value in compiled.items()}


def _faults(state: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns in which way names, shapes and types of a state dict are not a module's own."""
    both = {key: (value, own[key]) for key, value in state.items() if key in own and isinstance(own[key], torch.Tensor)}
    tensors = {key: pair for key, pair in both.items() if isinstance(pair[0], torch.Tensor)}
    return {
        "missing": [key for key in own if key not in state and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in state if key not in own],
        "no tensor": [key for key in both if key not in tensors],
        "without values": [key for key, (new, _) in tensors.items() if new.is_meta],
        "of another shape": [
            f"{key} is {tuple(new.shape)} instead of {tuple(old.shape)}"
            for key, (new, old) in tensors.items()
            if new.shape != old.shape
        ],
        "of another type": [
            f"{key} is {_type(new)} instead of {_type(old)}"
            for key, (new, old) in tensors.items()
            if (new.is_floating_point(), new.is_complex()) != (old.is_floating_point(), old.is_complex())
        ],
    }


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _as_stored(value: Any, own: Any) -> Any:
    """Returns a value of a file, dense where the module's own is."""
    both = isinstance(value, torch.Tensor) and isinstance(own, torch.Tensor)
    return value.to_dense() if both and own.layout is torch.strided is not value.layout else value


def _some(keys: list[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more
