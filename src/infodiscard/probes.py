"""Reading the layers of a network without leaving a trace in it.

A layer is addressed by its module's name, as in `named_modules()`:

    layer1.0.conv1        a module that is called once in a forward pass
    layer1.0.relu#1       the second call of a module that is called more than once
    encoder[1]            an entry of an output that is a tuple or a dict: `[1]`, `[last_hidden_state]`, `[0][key]`
    output                the network's own output
    hidden_states[3]      what a transformer returns under that name if it is asked for `output_hidden_states`
    layer*                a pattern: `*` and `?` stay within one level of the name, `**` crosses levels

Without an explicit entry, a tuple or dict stands for its `last_hidden_state` if it has one, else for its first floating
tensor.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import nn

from .errors import InfodiscardError, nearest

Call = torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor]
"""The arguments of a forward pass: its only one, those by place, or those by name."""

OUTPUT, HIDDEN = "output", "hidden_states"
_ADDRESS = re.compile(r"(?P<module>[^#\[\]]*)(#(?P<call>\d+))?(?P<entry>(\[[^\[\]]+\])*)")
_RANDOM_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase, nn.RReLU)
_HOOKED = "_output_capturing_hooks_installed"  # what transformers note on a network that has hooked itself
_RANDOM_NAMES = ("DropPath", "StochasticDepth", "DropBlock", "PatchDropout")


@dataclass(frozen=True)
class Layer:
    """One module of a network, as seen in a forward pass.

    Attributes:
        name: its address.
        type: the class of the module.
        shape: of the feature without the batch dimension; `None` if the output holds no floating tensor.
        calls: how often it is called in one forward pass.
        places: where each of these calls stands in the execution order of all of them.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    calls: int
    places: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Address:
    """A parsed layer address; `call` is `None` where the module is called once."""

    module: str
    call: int | None
    entry: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Address:
        """Takes an address apart; raises InfodiscardError if it is malformed."""
        match = _ADDRESS.fullmatch(text)
        if match is None or not match["module"]:
            raise InfodiscardError(
                f"'{text}' is not a layer address; write the module's name, then #CALL if it is called more than once, "
                "then [ENTRY] if its output is a tuple or dict."
            )
        entry = tuple(re.findall(r"\[([^\[\]]+)\]", match["entry"]))
        return cls(match["module"], None if match["call"] is None else int(match["call"]), entry)


class _Reached(Exception):
    """Ends a forward pass at the layer that was asked for."""


def unwrap(model: nn.Module) -> nn.Module:
    """Returns the plain module inside torch.compile, DataParallel and DistributedDataParallel, whose hooks do fire."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if inner is None:
            return model
        model = inner


@contextmanager
def untouched(model: nn.Module) -> Iterator[nn.Module]:
    """Lets a network be differentiated with respect to its input only, and leaves it as it was.

    Inside, no parameter requires a gradient (so none is computed or stored) and autograd is on even under
    `inference_mode`. On leaving, also by an error, every `requires_grad` is what it was, and hooks that the network
    gave itself meanwhile are gone; weights, buffers, `.grad`, training flags and the user's hooks are never changed.

    Raises:
        InfodiscardError: a layer in training mode would make the output random or depend on the batch, or the network
            was made under `inference_mode`.
    """
    model = unwrap(model)
    _refuse_training(model)
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise InfodiscardError(
            "The network was made under torch.inference_mode, so nothing can be differentiated through it; make or "
            "load it outside."
        )
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with _same_hooks(model), ExitStack() as stack:
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            # cuDNN's recurrent layers have no backward pass in eval mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
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
    """Takes away, on leaving, what the modules have been hooked with inside, and leaves every other hook.

    Transformers hook themselves when they are first asked for hidden states, and note that they have; without the note,
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


class Probe:
    """The network up to one layer: a callable from inputs (a tensor, a tuple or a dict) to that layer's feature.

    Use it inside `untouched(model)`. The forward pass ends right after the layer, so that nothing behind it is computed
    and no in-place operation behind it can overwrite the feature.

    Args:
        model: the network.
        address: the layer.
    """

    def __init__(self, model: nn.Module, address: str) -> None:
        self.address = address
        self._model = unwrap(model)
        self._parsed = Address.parse(address)
        modules = dict(self._model.named_modules())
        name, self._entry, self._ask = located(self._parsed, modules)
        if name not in modules:
            raise InfodiscardError(
                f"The network has no layer '{address}'; the nearest are {nearest(name, [n for n in modules if n])}."
            )
        self._layer = modules[name]

    def __call__(self, inputs: Call) -> torch.Tensor:
        """Returns the feature of `inputs` (`batch × …` each).

        Raises:
            InfodiscardError: the layer was not called (as often as the address says), or has no such output.
        """
        return choose(self.raw(inputs), self._entry, self.address)

    def raw(self, inputs: Call) -> Any:
        """Returns the layer's whole output, whatever its structure."""
        wanted, count, caught = self._parsed.call or 0, 0, []

        def catch(_module: nn.Module, _args: Any, output: Any) -> None:
            nonlocal count
            if count == wanted:
                caught.append(output)
                raise _Reached
            count += 1

        handle = self._layer.register_forward_hook(catch)
        args, kwargs = arguments(inputs)
        try:
            self._model(*args, **kwargs, **self._ask)
        except _Reached:
            return caught[0]
        finally:
            handle.remove()
        raise InfodiscardError(
            f"Layer '{self.address}' was called {count} times in a forward pass; "
            + ("give a smaller number after #." if count else "it is not used, so there is nothing to measure.")
        )


def located(address: Address, modules: Mapping[str, nn.Module]) -> tuple[str, tuple[str, ...], dict[str, bool]]:
    """Returns the module that an address means, the entry of its output, and what to ask a forward pass for besides."""
    if address.module == HIDDEN and HIDDEN not in modules:
        return "", (HIDDEN, *address.entry), {"output_hidden_states": True}
    own = address.module == OUTPUT and OUTPUT not in modules
    return "" if own else address.module, address.entry, {}


def arguments(call: Call) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """Returns copies of the arguments by place, and of those by name.

    A network that begins with an in-place operation would otherwise overwrite what belongs to the caller.
    """
    if isinstance(call, Mapping):
        return (), {name: value.clone() for name, value in call.items()}
    return tuple(value.clone() for value in ([call] if isinstance(call, torch.Tensor) else call)), {}


def choose(output: Any, entry: Sequence[str], address: str) -> torch.Tensor:
    """Returns the tensor that an address means within a layer's output.

    Raises:
        InfodiscardError: the entry does not exist, or the output holds no floating tensor.
    """
    for key in entry:
        output = _entry(output, key, address)
    if not entry and not isinstance(output, torch.Tensor):
        output = _default_entry(output)
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        raise InfodiscardError(
            f"The output of '{address}' is {structure(output)}, not a tensor of floats; name one of its entries as "
            f"'{address}[0]' or '{address}[key]'."
        )
    return output


def _entry(output: Any, key: str, address: str) -> Any:
    """Returns one entry of a tuple, list, dict or object."""
    try:
        if isinstance(output, Mapping):
            return output[key]
        if isinstance(output, Sequence):
            return output[int(key)]
        if not isinstance(output, torch.Tensor):
            return getattr(output, key)
    except (KeyError, IndexError, ValueError, AttributeError):
        pass
    raise InfodiscardError(f"The output of '{address}' has no entry [{key}]; it is {structure(output)}.")


def _default_entry(output: Any) -> Any:
    """Returns `last_hidden_state` if there is one, else the first floating tensor in the order of the structure."""
    from torch.utils._pytree import tree_leaves

    if isinstance(output, Mapping) and isinstance(output.get("last_hidden_state"), torch.Tensor):
        return output["last_hidden_state"]
    leaves = tree_leaves(output)
    return next((x for x in leaves if isinstance(x, torch.Tensor) and x.is_floating_point()), output)


def structure(output: Any) -> str:
    """Describes an output in a few words."""
    if isinstance(output, torch.Tensor):
        return f"a tensor of {str(output.dtype).removeprefix('torch.')} of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with the keys {', '.join(map(str, output))}"
    if isinstance(output, Sequence) and not isinstance(output, str):
        return f"a {type(output).__name__} of {len(output)} ({', '.join(type(x).__name__ for x in output[:4])})"
    return type(output).__name__


def list_layers(model: nn.Module, example: Call) -> list[Layer]:
    """Lists a network's layers in execution order: by when their (first) output is ready.

    Args:
        model: any network.
        example: one or more inputs, `batch × …`; of a network with several, a tuple, or a dict by their names.

    Returns:
        One `Layer` per module that is called, the network itself last, as `output` (unless a module bears that name);
        and one per hidden state, where a transformer returns such.

    Raises:
        InfodiscardError: the network is in training mode or does not take the example.
    """
    seen: dict[str, tuple[str, tuple[int, ...] | None, list[int]]] = {}
    made: list[tuple[Any, int]] = []  # which module made which tensor
    place = count()
    with untouched(model) as plain, ExitStack() as stack:
        modules = dict(plain.named_modules())
        if OUTPUT in modules:
            del modules[""]
        for name, module in modules.items():
            key = name or OUTPUT

            def note(module: nn.Module, _args: Any, output: Any, key: str = key) -> None:
                now, tensor = next(place), _default_tensor(output)
                seen.setdefault(key, (type(module).__name__, _shape(output), []))[2].append(now)
                if tensor is not None:
                    made.append((weakref.ref(tensor), now))

            stack.callback(module.register_forward_hook(note).remove)
        args, kwargs = arguments(example)
        # Transformers say in their configuration whether they return hidden states, and take it back for one call.
        ask = {"output_hidden_states": True} if hasattr(getattr(plain, "config", None), "output_hidden_states") else {}
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                output = plain(*args, **kwargs, **ask)
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise InfodiscardError(
                    f"The network does not take {_shapes(example)} ({reason}); give inputs of the size it was made for."
                ) from error
        hidden = output.get(HIDDEN) if isinstance(output, Mapping) and ask else None
        maker = {id(tensor): at for ref, at in reversed(made) if (tensor := ref()) is not None}
        for number, state in enumerate(hidden or ()):
            seen[f"{HIDDEN}[{number}]"] = ("hidden state", _shape(state), [maker.get(id(state), next(place))])
    layers = [Layer(name, kind, shape, len(places), tuple(places)) for name, (kind, shape, places) in seen.items()]
    return sorted(layers, key=lambda layer: layer.places[0])


def _shapes(call: Call) -> str:
    """Describes the arguments of a forward pass."""
    if isinstance(call, torch.Tensor) or (not isinstance(call, Mapping) and len(call) == 1):
        return f"an input of shape {tuple((call if isinstance(call, torch.Tensor) else call[0]).shape)}"
    named = call if isinstance(call, Mapping) else {str(place): value for place, value in enumerate(call)}
    return "inputs of shapes " + ", ".join(f"{name} {tuple(value.shape)}" for name, value in named.items())


def _shape(output: Any) -> tuple[int, ...] | None:
    """Returns the shape of the default tensor of an output without its batch dimension."""
    tensor = _default_tensor(output)
    return None if tensor is None else tuple(tensor.shape[1:])


def _default_tensor(output: Any) -> torch.Tensor | None:
    """Returns the tensor that a layer without an explicit entry stands for, if there is one."""
    tensor = output if isinstance(output, torch.Tensor) else _default_entry(output)
    return tensor if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() else None


def resolve(layers: Sequence[Layer], patterns: Sequence[str], network: str) -> tuple[str, ...]:
    """Takes names and patterns to addresses, in execution order, each once.

    A pattern that meets a module called more than once stands for all its calls.

    Args:
        layers: what `list_layers` returned.
        patterns: names, addresses or patterns.
        network: its name, for messages.

    Raises:
        InfodiscardError: no layer matches one of them, or a bare name means a module that is called more than once.
    """
    known = {layer.name: layer for layer in layers}
    found: set[str] = set()
    for pattern in patterns:
        if "*" in pattern or "?" in pattern:
            matches = [layer for layer in layers if layer.shape is not None and _matches(pattern, layer.name)]
            if not matches:
                raise InfodiscardError(
                    f"No layer of '{network}' matches '{pattern}'; its layers include {nearest(pattern, list(known))}. "
                    "'*' stays within one level of a name, '**' crosses levels."
                )
            found |= {address for layer in matches for address in _calls(layer)}
        else:
            found.add(_checked(pattern, known, network))

    def place(text: str) -> tuple[int, str]:
        address = Address.parse(text)
        layer = known.get(text) or known[address.module]
        return (layer.places[address.call or 0] if layer.places else layers.index(layer)), text

    return tuple(sorted(found, key=place))


def choose_layers(
    layers: Sequence[Layer], wanted: str | Sequence[str] | None, usual: Sequence[str], network: str
) -> tuple[str, ...]:
    """Takes what the user named, or else the network's usual layers, to addresses; further as `resolve`.

    Raises:
        InfodiscardError: also if there are neither.
    """
    patterns = [wanted] if isinstance(wanted, str) else list(wanted or usual)
    if not patterns:
        raise InfodiscardError(
            f"No layers were given for '{network}' and it has no usual ones; name some, such as "
            f"{nearest('layer', [layer.name for layer in layers if '.' not in layer.name])}."
        )
    return resolve(layers, patterns, network)


def _calls(layer: Layer) -> list[str]:
    """Returns the addresses of all calls of a layer."""
    return [layer.name] if layer.calls == 1 else [f"{layer.name}#{i}" for i in range(layer.calls)]


def _checked(text: str, known: Mapping[str, Layer], network: str) -> str:
    """Returns an address that means one existing output."""
    address = Address.parse(text)
    if text in known and address.entry:
        return text
    layer = known.get(address.module)
    if layer is None:
        raise InfodiscardError(
            f"'{network}' has no layer '{address.module}'; the nearest are {nearest(address.module, list(known))}."
        )
    if address.call is None and layer.calls > 1:
        raise InfodiscardError(
            f"Layer '{layer.name}' of '{network}' is called {layer.calls} times in a forward pass; name one call, from "
            f"'{layer.name}#0' to '{layer.name}#{layer.calls - 1}'."
        )
    if address.call is not None and address.call >= layer.calls:
        raise InfodiscardError(
            f"Layer '{layer.name}' of '{network}' is called {layer.calls} times, so '#{address.call}' does not exist; "
            f"the last is '#{layer.calls - 1}'."
        )
    call = f"#{address.call}" if layer.calls > 1 else ""
    return address.module + call + "".join(f"[{key}]" for key in address.entry)


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern means a layer; a hidden state, which some module has made already, only where it says so."""
    if name.startswith(f"{HIDDEN}[") and not pattern.startswith(HIDDEN):
        return False
    return _regex(pattern).fullmatch(name) is not None


def _regex(pattern: str) -> re.Pattern[str]:
    """Takes a pattern to a regular expression: `**` crosses levels, `*` and `?` do not."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    table = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts))
