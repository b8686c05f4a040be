"""Weights files: a module's state dict, read strictly and without unpickling objects, and written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from ..core.files import read_safetensors_header, told, write_atomically
from ..errors import InfodiscardError

SUFFIXES = (".safetensors", ".pt", ".pth")
WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts commonly put the state dict."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads a state dict into the module, in place.

    Wrapping dicts (`state_dict`, `model`) and the prefix `module.` of data-parallel training are removed.

    Raises:
        InfodiscardError: the file is missing, of another kind, broken, or does not fit the module.
    """
    state = _unwrap(_read(path), path)
    _check(state, module, path)
    module.load_state_dict(state, strict=False)  # checked above, but for counters that old files lack


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
    with told("write", path):
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
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise InfodiscardError(f"'{path}' is not a whole PyTorch file; fetch or save it again.") from error


def _unwrap(state: Any, path: Path) -> dict[str, torch.Tensor]:
    for key in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InfodiscardError(
            f"'{path}' holds no state dict; save the network's state_dict() alone, best as safetensors."
        )
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def _check(state: dict[str, torch.Tensor], module: nn.Module, path: Path) -> None:
    """Compares names and shapes."""
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = [
        f"{what}: {_some(keys)}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if keys
    ]
    if faults:
        raise InfodiscardError(
            f"The weights '{path}' do not fit {type(module).__name__} ({'; '.join(faults)}); give weights "
            "of this architecture."
        )


def _some(keys: list[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more
