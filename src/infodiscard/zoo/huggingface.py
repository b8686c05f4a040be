"""Networks as the Hugging Face library transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InfodiscardError
from ..networks.hub import hub_errors, library, located, quiet
from ..networks.network import Network
from .default_layers import default_layers

if TYPE_CHECKING:
    from torch import nn

KIND = "hf:"
ENDINGS = {  # of the class that a configuration names → the class of transformers that opens all of them
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForImageClassification": "AutoModelForImageClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
}
EXAMPLE = 8
"""Tokens of the text on which layers are listed."""


def load_model(place: str, allow_random: bool = False) -> Network:
    """Returns a model that `save_pretrained` wrote, or one of the Hugging Face hub, which is downloaded.

    Only safetensors are read, and no code in a directory is run. The model computes in float32. Of an image
    model, mean, standard deviation and size are those of its image processor, where there is one.

    Args:
        place: the directory, or the model's name on the hub.
        allow_random: whether weights that the files lack may be random.

    Raises:
        InfodiscardError: transformers is missing, there is no such directory or model, it cannot be read, it is an
            encoder-decoder, or it lacks weights.
    """
    transformers, path = library(), located(place)
    with hub_errors(place, "config.json", "a model that save_pretrained wrote"), quiet(transformers):
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
    if getattr(config, "is_encoder_decoder", False):
        raise InfodiscardError(
            f"'{place}' is an encoder-decoder ({config.model_type}), which takes two texts; measure its encoder, from "
            "a file as in 'net.py:build'."
        )
    opener = getattr(transformers, _opener(config.architectures))
    with hub_errors(place, "model.safetensors", "weights as safetensors"), quiet(transformers):
        module, info = opener.from_pretrained(
            path,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    if info["missing_keys"] and not allow_random:
        missing = sorted(info["missing_keys"])
        raise InfodiscardError(
            f"'{place}' lacks weights of its {type(module).__name__} ({missing[0]}{', …' * (len(missing) > 1)}), which "
            "would be random; save the whole model, or allow that with --random-weights."
        )
    module.config.use_cache = False  # of keys and values, which is for writing text
    if getattr(module.config, "pad_token_id", None) is None:
        module.config.pad_token_id = 0  # classifiers refuse batches without one; no padding ever reaches them
    return Network(
        module,
        name=Path(path).resolve().name,
        default_layers=default_layers(module),
        source=f"{KIND}{place}",
        **_image_space(path, module),
    )


def takes_text(network: Network) -> bool:
    """Whether a network takes tokens."""
    return getattr(network.module, "main_input_name", None) == "input_ids"


def tokenizer_place(network: Network) -> str:
    """Returns the directory, or the hub's name, that a network was loaded from, where its tokenizer is.

    Raises:
        InfodiscardError: it was not loaded from any.
    """
    place = str(getattr(network.module, "name_or_path", ""))
    if not place:
        raise InfodiscardError(
            f"'{network.name}' does not say where its tokenizer is; save model and tokenizer in one directory with "
            "save_pretrained, and give it as 'hf:DIR'."
        )
    return place


def embedding_tau(network: Network | nn.Module, share: float = 0.01) -> float:
    """Returns τ for noise on a language model's embeddings: a share of the variance of its embedding matrix.

    For inputs of variance one, as images are after normalisation, a share of 0.01 is the paper's τ.

    Raises:
        InfodiscardError: the network has no embeddings.
    """
    module = network.module if isinstance(network, Network) else network
    try:
        weight = module.get_input_embeddings().weight  # type: ignore[operator]
    except (AttributeError, NotImplementedError) as error:
        raise InfodiscardError(f"A {type(module).__name__} has no embeddings of tokens; give tau a number.") from error
    return share * float(weight.detach().double().var())


def example(network: Network) -> dict[str, torch.Tensor]:
    """Returns the arguments of a forward pass of a few tokens of a language model, `1 × tokens × values`."""
    module: Any = network.module
    embeddings = module.get_input_embeddings()
    with torch.no_grad():
        return {"inputs_embeds": embeddings(torch.arange(EXAMPLE)[None] % embeddings.num_embeddings)}


def _opener(architectures: list[str] | None) -> str:
    """Returns the class of transformers that opens the class that a configuration names."""
    name = (architectures or [""])[0]
    return next((opener for ending, opener in ENDINGS.items() if name.endswith(ending)), "AutoModel")


def _image_space(path: str, module: Any) -> dict[str, Any]:
    """Returns the mean, std and input_size of an image model, as `Network` has them; nothing for other models."""
    if module.main_input_name != "pixel_values":
        return {}
    transformers = library()
    own = getattr(module.config, "image_size", None)
    try:
        with quiet(transformers):
            processor = transformers.AutoImageProcessor.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, ImportError):
        return {"input_size": _pair(own)}  # so that the user has to give the rest
    channels = getattr(module.config, "num_channels", 3)
    normalised = getattr(processor, "do_normalize", True)
    mean, std = (processor.image_mean, processor.image_std) if normalised else ([0.0] * channels, [1.0] * channels)
    sizes = (_pair(each) for each in (own, getattr(processor, "crop_size", None), processor.size))
    return {
        "mean": tuple(map(float, mean)),
        "std": tuple(map(float, std)),
        "input_size": next((size for size in sizes if size), None),
    }


def _pair(size: Any) -> tuple[int, int] | None:
    """Converts a size of transformers (one number, two, or named) to (height, width); `None` if it is open."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple):
        return int(size[0]), int(size[1])
    height = getattr(size, "height", None) or getattr(size, "shortest_edge", None)
    width = getattr(size, "width", None) or getattr(size, "shortest_edge", None)
    return (int(height), int(width)) if height and width else None
