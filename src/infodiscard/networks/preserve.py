"""Preservation of a network: it is left as it was, and refused if its layers cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import InfodiscardError

_RANDOM_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RReLU)
_HOOKED = "_output_capturing_hooks_installed"  # the mark of transformers on a network that has hooked itself
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_SHARDED = {"FSDPModule", "FullyShardedDataParallel"}  # of libraries that take seconds to import
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


@contextmanager
def preserved(model: nn.Module) -> Iterator[nn.Module]:
    """Lets a network be differentiated with respect to its input only, and leaves it as it was.

    Inside, no parameter requires a gradient (so none is computed or stored) and autograd is on even under
    `inference_mode`. On leaving, also by an error, every `requires_grad` is what it was, and hooks that the network
    gave itself meanwhile are gone; weights, buffers, `.grad`, training flags and the user's hooks are never changed.

    Raises:
        InfodiscardError: a layer in training mode would make the output random or depend on the batch; or the network
            is TorchScript, has no weights (`meta`, or not initialised), has them sharded over processes, or was made
            under `inference_mode`.
    """
    model = unwrap(model)
    _refuse_unreadable(model)
    _refuse_training(model)
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with _same_hooks(model), ExitStack() as stack:
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            # cuDNN's recurrent layers have no backward pass in eval mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        if any(_is_compiled(module) or module._compiled_call_impl is not None for module in model.modules()):
            # Compiled code knows nothing of hooks that come later, so the parts that are compiled run as written.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        try:
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            yield model
        finally:
            for parameter, flag in flags:
                parameter.requires_grad_(flag)


@contextmanager
def _same_hooks(model: nn.Module) -> Iterator[None]:
    """Removes, on leaving, the hooks that the modules were given inside, and leaves every other hook.

    Transformers hook themselves when they are first asked for hidden states, and mark that they have; without the mark,
    they do so again when the user asks.
    """
    modules = list(model.modules())
    before = [{key: set(hooks) for key, hooks in _hooks(module).items()} for module in modules]
    unnoted = [module for module in modules if _HOOKED not in vars(module)]
    try:
        yield
    finally:
        for module, known in zip(modules, before, strict=True):
            for key, hooks in _hooks(module).items():
                for added in set(hooks).difference(known.get(key, ())):
                    del hooks[added]
        for module in unnoted:
            vars(module).pop(_HOOKED, None)


def _hooks(module: nn.Module) -> dict[str, dict[int, Any]]:
    """Returns what PyTorch keeps about a module's forward hooks, all of it by their number."""
    return {key: hooks for key, hooks in vars(module).items() if key.startswith("_forward_") and "hooks" in key}


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
