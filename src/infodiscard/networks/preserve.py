"""Preservation of a network: it is left as it was, and refused if its layers cannot be read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import InfodiscardError
from .state import State

_RANDOM_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RReLU)
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_SHARDED = {"FSDPModule", "FullyShardedDataParallel"}  # of libraries that take seconds to import
_ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)
_RANDOM_NAMES = ("DropPath", "StochasticDepth", "DropBlock", "PatchDropout")


def unwrap(model: nn.Module) -> nn.Module:
    """Returns the plain module inside torch.compile, DataParallel and DistributedDataParallel, whose hooks do fire.

    Any other wrapper is a network of its own, also one that hands attributes of what it wraps on, and so is a compiled
    module with hooks of its own, which may change its output.
    """
    while True:
        if _is_compiled(model) and not (model._forward_hooks or model._forward_pre_hooks):
            model = model._modules["_orig_mod"]  # type: ignore[assignment]
        elif isinstance(model, _PARALLEL) and type(model).forward in [kind.forward for kind in _PARALLEL]:
            model = model._modules["module"]  # type: ignore[assignment]
        else:
            return model


def _is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile made a module of another one."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")  # slow to import; it made all that there are
    return dynamo is not None and isinstance(module, dynamo.OptimizedModule)


_LOCKS: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
"""Module → what a thread holds while it works with a network that the module is in."""

_PROCESS = RLock()
"""What it holds besides where the network needs a setting of the whole process."""


@contextmanager
def preserved(model: nn.Module) -> Iterator[nn.Module]:
    """Lets a network be differentiated with respect to its input only, and leaves it as it was.

    Inside, no parameter requires a gradient (so none is computed or stored), autograd is on even under
    `inference_mode`, a surrounding autocast and default device are off, and so are hooks on backward passes, which may
    change gradients. On leaving, also by an error, the network is bit-identical to what it was: weights, buffers,
    attributes, flags and hooks (`networks.state`); so are the process's random generators. Threads that work with one
    network, or with networks that share modules, wait for each other.

    Raises:
        InfodiscardError: a layer in training mode would make the output random or depend on the batch; or the network
            is TorchScript, has no weights (`meta`, or not initialised), has them sharded over processes, or was made
            under `inference_mode`.
    """
    model = unwrap(model)
    with ExitStack() as stack:
        for module in sorted(set(model.modules()), key=id):  # in one order, so that no two threads block each other
            stack.enter_context(_LOCKS.setdefault(module, RLock()))
        _refuse_unreadable(model)
        _refuse_training(model)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.callback(State.of(model).restore)
        recurrent, attention = (
            any(isinstance(each, of) for each in model.modules()) for of in (nn.RNNBase, _ATTENTION)
        )
        compiled = any(_is_compiled(each) or each._compiled_call_impl is not None for each in model.modules())
        devices = {"cpu", *(tensor.device.type for tensor in model.parameters())}
        if recurrent or attention or compiled or len(devices) > 1:
            stack.enter_context(_PROCESS)
        if recurrent:
            # cuDNN's recurrent layers have no backward pass in eval mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        if len(devices) > 1:
            stack.enter_context(_repeatable())
        if attention:
            # Attention has a fast path for passes without a gradient, in which layers are skipped and padding is zero.
            stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
            torch.backends.mha.set_fastpath_enabled(False)
        if compiled:
            # Compiled code knows nothing of hooks that come later, so the parts that are compiled run as written.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for device in devices:
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for module in model.modules():
            module._backward_hooks.clear()
            module._backward_pre_hooks.clear()
        yield model


@contextmanager
def _repeatable() -> Iterator[None]:
    """Lets an accelerator take kernels that hang neither on chance nor on what ran before, wherever there are such.

    PyTorch warns where there are none. For multiplications it also wants a setting of cuBLAS's.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    switches = (torch.backends.cudnn, "benchmark"), (torch.utils.deterministic, "fill_uninitialized_memory")
    values = [getattr(*switch) for switch in switches]
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        for owner, name in switches:
            setattr(owner, name, False)
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        for (owner, name), value in zip(switches, values, strict=True):
            setattr(owner, name, value)


def _refuse_unreadable(model: nn.Module) -> None:
    """Raises InfodiscardError if there are layers that take no hooks, no values or no gradients."""
    script = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if script:
        what = f"Its layer '{script[0]}'" if script[0] else "The network"
        raise InfodiscardError(
            f"{what} is TorchScript, whose insides cannot be read; give the Python module that it was made from."
        )
    lazy = [
        name or type(module).__name__
        for name, module in model.named_modules()
        if any(is_lazy(tensor) for tensor in [*module.parameters(False), *module.buffers(False)])
    ]
    if lazy:
        raise InfodiscardError(
            f"The layer '{lazy[0]}' is lazy and has no weights yet; run the network once on an input, and load its "
            "weights."
        )
    tensors = [*model.parameters(), *model.buffers()]
    kinds = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    if kinds & _SHARDED or any(hasattr(tensor, "full_tensor") for tensor in tensors):
        raise InfodiscardError(
            "The network's weights are sharded over processes (FSDP, DTensor), and it is measured in one; gather them, "
            "as with torch.distributed.checkpoint.state_dict.get_model_state_dict, and load them into a plain network."
        )
    if any(tensor.is_meta for tensor in tensors):
        raise InfodiscardError(
            "The network, or a part of it, is on the device 'meta', where tensors have shapes but no values; make it "
            "on 'cpu' or 'cuda', and load its weights."
        )
    if any(tensor.is_inference() for tensor in tensors):
        raise InfodiscardError(
            "The network was made under torch.inference_mode, so nothing can be differentiated through it; make or "
            "load it outside."
        )


def _refuse_training(model: nn.Module) -> None:
    """Raises InfodiscardError if a known kind of layer would be random or batch-dependent."""
    offenders = [
        name or type(model).__name__
        for name, module in model.named_modules()
        if module.training and _random_in_training(module)
    ]
    if offenders:
        more = f" and {len(offenders) - 3} more" if len(offenders) > 3 else ""
        raise InfodiscardError(
            f"The network is in training mode ({', '.join(offenders[:3])}{more}), so its output is random or depends "
            "on the batch; call model.eval() first."
        )


def _random_in_training(module: nn.Module) -> bool:
    """Whether a layer's output, in training mode, is random or depends on the batch."""
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return isinstance(module, _RANDOM_IN_TRAINING) or type(module).__name__ in _RANDOM_NAMES
