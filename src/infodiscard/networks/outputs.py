"""Outputs of layers: the tensor that an address means, and a description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from ..errors import InfodiscardError


def choose(output: Any, entry: Sequence[str], address: str) -> torch.Tensor:
    """Returns the tensor (`batch × …`) that an address means within a layer's output.

    A sparse tensor is made dense; a complex one gets a last dimension for its real and imaginary parts.

    Raises:
        InfodiscardError: the entry does not exist, or the output holds no tensor of floats that can be computed with.
    """
    for key in entry:
        output = _entry(output, key, address)
    if not entry and not isinstance(output, torch.Tensor):
        output = _default_entry(output)
    if not is_feature(output):
        how = "measure a layer whose output is one"
        if isinstance(output, torch.Tensor) and output.is_quantized:
            how = "measure what infodiscard.dequantise makes of the network"
        if not isinstance(output, torch.Tensor):
            how = f"name one of its entries as '{address}[0]' or '{address}[key]'"
        raise InfodiscardError(f"The output of '{address}' is {structure(output)}, not a tensor of floats; {how}.")
    dense = output.to_dense() if output.layout is not torch.strided else output
    return torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense


def is_feature(output: Any) -> bool:
    """Whether an output is a tensor that can be measured: of floats of 16 bits or more, and of one row per sample."""
    if not isinstance(output, torch.Tensor) or output.is_nested or _in_transform(output):
        return False
    return output.is_complex() or (output.is_floating_point() and output.dtype.itemsize > 1)


def _in_transform(tensor: torch.Tensor) -> bool:
    """Whether a tensor stands for what torch.vmap, or another transform of torch.func, sees of it."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _entry(output: Any, key: str, address: str) -> Any:
    """Returns one entry of a tuple, list, dict or object; of a dict by its key, and by place if no key is a number."""
    try:
        if isinstance(output, Mapping):
            return _of_dict(output, key, address)
        if isinstance(output, Sequence) and (not hasattr(output, "_fields") or _is_place(key)):
            return output[int(key)]
        if not isinstance(output, torch.Tensor):
            place = is_dataclass(output) and _is_place(key)
            return getattr(output, fields(output)[int(key)].name if place else key)  # type: ignore[arg-type]
    except InfodiscardError:
        raise
    except (KeyError, IndexError, ValueError, AttributeError):
        pass
    raise InfodiscardError(f"The output of '{address}' has no entry [{key}]; it is {structure(output)}.")


def _of_dict(output: Mapping[Any, Any], key: str, address: str) -> Any:
    """Returns the entry whose key reads like that; else, as the outputs of transformers may be, the one at that place.

    Raises:
        InfodiscardError: there are two such keys, a number and a text.
        ValueError, IndexError: there is none.
    """
    alike = [own for own in output if str(own) == key]
    if len(alike) > 1:
        raise InfodiscardError(
            f"The output of '{address}' has {len(alike)} entries [{key}], as its keys {', '.join(map(repr, alike))} "
            "read alike; name a layer that returns one of them."
        )
    if alike:
        return output[alike[0]]
    if any(isinstance(own, int) for own in output):  # where keys are numbers, a number is no place
        raise KeyError(key)
    return list(output.values())[int(key)]


def _is_place(key: str) -> bool:
    return key.removeprefix("-").isdecimal()


def _default_entry(output: Any) -> Any:
    """Returns `last_hidden_state` if there is one, else the first floating tensor in the order of the structure."""
    from torch.utils._pytree import tree_leaves

    if isinstance(output, Mapping) and isinstance(output.get("last_hidden_state"), torch.Tensor):
        return output["last_hidden_state"]
    return next((leaf for leaf in tree_leaves(output) if is_feature(leaf)), output)


def structure(output: Any) -> str:
    """Describes an output in a few words."""
    if isinstance(output, torch.Tensor) and output.is_nested:
        return "a nested tensor, whose rows may differ in length"
    if isinstance(output, torch.Tensor) and _in_transform(output):
        return "a tensor within torch.vmap or another transform of torch.func"
    if isinstance(output, torch.Tensor):
        return f"a tensor of {str(output.dtype).removeprefix('torch.')} of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with the keys {', '.join(map(str, output))}"
    if isinstance(output, Sequence) and not isinstance(output, str):
        return f"a {type(output).__name__} of {len(output)} ({', '.join(type(x).__name__ for x in output[:4])})"
    return type(output).__name__


def default_tensor(output: Any) -> torch.Tensor | None:
    """Returns the tensor (`batch × …`) that a layer without an explicit entry stands for, if there is one."""
    tensor = output if isinstance(output, torch.Tensor) else _default_entry(output)
    return tensor if is_feature(tensor) else None
