"""Training of decoders for the layers of a network, several of them in one pass over the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..core.fingerprint import Fingerprint, alike, fingerprint
from ..data import ImageSet
from ..decoders.cache import Origin, TrainedDecoder, default_folder, fixed_input, halve, load, save
from ..decoders.recipe import DecoderRecipe
from ..errors import InfodiscardError
from ..networks.features import LayerFeatures
from ..networks.network import Network, weights_hash
from ..networks.preserve import preserved, unwrap
from ..networks.probe import list_layers
from ..networks.usual import choose_layers
from .decoder_progress import DecoderTraining
from .decoder_quality import quality, quality_images
from .feature_extractor import FeatureExtractor
from .image_split import ImageSplit, load_images
from .runtime import make_folder, require_lightning


def train_decoders(
    network: Network,
    data: str | ImageSet,
    layers: Sequence[str] = (),
    folder: str | Path | None = None,
    *,
    test_data: str | ImageSet | None = None,
    test_samples: int | None = None,
    stop_after: int | None = None,
    **recipe: Any,
) -> dict[str, TrainedDecoder]:
    """Trains a decoder for each layer and writes it to the cache; a decoder that is there is not trained again.

    Each decoder minimises the mean squared error of the network's normalised input, with AdamW. The layers share the
    passes over the images and nothing else: each has its own optimiser, checkpoint and end, and the weights that it
    would have alone. After each epoch the checkpoints are replaced, and a training that was interrupted goes on from
    there to the same weights.

    Args:
        network: with a known normalisation; left as it was.
        data: the training images, or their spec; `cifar10` means its training split.
        layers: names or patterns; by default the network's usual layers.
        folder: of the decoders; the user's cache if not given (`decoders.cache.default_folder`).
        test_data: images to measure the quality on; by default the test split of `cifar10` or `cub`, and otherwise the
            validation split.
        test_samples: how many of the test images to use; `None` for all.
        stop_after: end after this many of the epochs, to be continued by another call.
        recipe: the fields of `DecoderRecipe`: samples, epochs, batch_size, seed, lr, width, and so on.

    Returns:
        The decoders by layer; without those that `stop_after` ended early.

    Raises:
        InfodiscardError: Lightning is missing, a layer or number is not allowed, the images do not fit the network, a
            file cannot be written, or a training diverged (the other layers are finished first).
    """
    require_lightning()
    plan = DecoderRecipe(**recipe)
    place = make_folder(Path(folder).expanduser() if folder else default_folder())
    split = ImageSplit.of(load_images(data, plan.samples, network, "train"), plan)
    trainings = _trainings(network, split, _feature_shapes(network, split, layers), plan, place)
    trained = {each.layer: load(each.file) for each in trainings if each.file.exists()}
    features = _fingerprints(network, split.shape, [each.layer for each in trainings])
    for layer, decoder in trained.items():
        if decoder.features and not alike(decoder.features, features[layer]):
            raise InfodiscardError(
                f"'{decoder.path}' is the decoder of a network with the same weights and other code; give another "
                "folder."
            )
    for decoder in trained.values():
        print(f"{_summary(decoder)}; it was there already", flush=True)
    left = [each for each in trainings if each.layer not in trained]
    if left:
        from .decoder_module import fit  # Lightning, which is optional and takes seconds

        images, description = quality_images(test_data, data, test_samples, network, split)
        fit(left, network, split, plan, min(plan.epochs, stop_after or plan.epochs))
        trained |= _finish([each for each in left if each.ended()], network, images, description, features)
    _refuse_diverged(left)
    return {each.layer: trained[each.layer] for each in trainings if each.layer in trained}


def _feature_shapes(network: Network, split: ImageSplit, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Returns the shape of the feature of each layer, in execution order."""
    pixels = split.take(split.training[:1])
    example = FeatureExtractor(network, network.module).cast(network.normalise(pixels))
    known, own = list_layers(network.module, example), dict(unwrap(network.module).named_modules())
    addresses = choose_layers(known, layers, network.default_layers, network.name, own)
    with preserved(network.module) as module:
        features, _ = FeatureExtractor(network, module)(pixels, addresses)
    return {address: tuple(features[address].shape[1:]) for address in addresses}


def _fingerprints(network: Network, shape: Sequence[int], layers: Sequence[str]) -> dict[str, Fingerprint]:
    """Returns the fingerprint of each layer's feature of the fixed input."""
    extract = FeatureExtractor(network, network.module)
    with preserved(network.module) as module:
        inputs = extract.cast(fixed_input(shape))
        features = LayerFeatures(module, layers)(inputs)
    half = inputs.dtype in (torch.float16, torch.bfloat16)
    return {layer: fingerprint([feature.cpu().numpy()], half) for layer, feature in features.items()}


def _trainings(
    network: Network, split: ImageSplit, shapes: dict[str, tuple[int, ...]], recipe: DecoderRecipe, folder: Path
) -> list[DecoderTraining]:
    """Returns a training for each layer, from its checkpoint if there is one."""
    hashed, data_hash = weights_hash(network.module), split.digest()
    mean, std = network.space(split.shape[0]) or ((), ())
    return [
        DecoderTraining.of(Origin(layer, hashed, mean, std, data_hash, recipe), shape, split.shape, folder)
        for layer, shape in shapes.items()
    ]


def _finish(
    trainings: Sequence[DecoderTraining],
    network: Network,
    images: torch.Tensor,
    description: str,
    features: Mapping[str, Fingerprint],
) -> dict[str, TrainedDecoder]:
    """Measures the quality of the decoders on images (`N × C × H × W`), writes them and deletes their checkpoints."""
    for each in trainings:
        each.decoder.to("cpu").to(memory_format=torch.contiguous_format).eval()
        each.decoder.load_state_dict(each.best_state)
        if each.origin.recipe.half:
            halve(each.decoder)
    trained = {}
    measured = quality(network, {each.layer: each.decoder for each in trainings}, images)
    for each in trainings:
        trained[each.layer] = save(
            each.decoder, each.file, each.origin, measured[each.layer], description, features[each.layer]
        )
        each.checkpoint.unlink(missing_ok=True)
        print(_summary(trained[each.layer]), flush=True)
    return trained


def _summary(decoder: TrainedDecoder) -> str:
    values = decoder.quality
    ssim = f", SSIM {values['ssim']:.3f}" if "ssim" in values else ""
    return f"{decoder.layer}: MSE {values['mse']:.4f}, PSNR {values['psnr']:.2f} dB{ssim}, {decoder.path}"


def _refuse_diverged(trainings: Sequence[DecoderTraining]) -> None:
    for each in trainings:
        if each.trouble:
            kept = f"'{each.checkpoint}' keeps it as it was after epoch {each.epoch}"
            raise InfodiscardError(
                f"The training of the decoder for '{each.layer}' diverged ({each.trouble}) and was stopped; "
                f"{kept if each.epoch else 'no epoch of it was finished'}. Give a smaller learning rate, such as "
                f"{each.origin.recipe.lr / 4:g}."
            )
