"""Presets of a study's size: from a few minutes for a test to the paper's full setting."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..decoders.recipe import DecoderRecipe
from ..errors import InfodiscardError, nearest
from .sequential import levels


@dataclass(frozen=True)
class Preset:
    """The size of everything that a study trains and measures; what the command line calls a profile.

    Attributes:
        name: as the command line takes it.
        width: times the usual channels of AlexNet, VGG and ResNet-18/34.
        seeds: how many times each network is trained.
        depths: of the ResNets for CIFAR-10, from the shallowest.
        autoencoders: depths of the auto-encoders.
        damage: blocks of the shallowest ResNet after which one without a skip is put.
        samples: CIFAR-10 images to train on, from the first; `None` for all.
        epochs: passes of ResNet-20/32/44 over them.
        plain_epochs: passes of AlexNet, VGG and ResNet-18/34.
        batch_size: images per training step.
        kept_epochs: whose weights the study of epochs measures.
        ru_trainings: trainings whose RU it measures.
        test_samples: images that accuracies are measured on; `None` for all.
        images: measured images, and so the pairs behind each difference.
        ru_images: images measured for RU, which takes several times as long.
        sid_passes: most passes per image and layer for SID.
        ru_passes: most passes per image and layer for RU.
        tolerance: gap to the optimum at which a solve stops, nats/pixel.
        decoder: recipe of RU's decoders.
        autoencoder_epochs: passes of the auto-encoders.
        thresholds: of pruning, in standard deviations of a layer's weights.
        retrain_epochs: passes after pruning.
        cub_network: spec options of the networks for birds.
        cub_epochs: passes over the birds.
        cub_library: whether AlexNet and VGG for birds are torchvision's.
        attacked: images that robustness is measured on.
        given_images: images that networks given are measured on; a quarter where they are large.
        given_passes: most passes per image and layer of networks given.
        looks: numbers of trainings after which claims are judged, the last of them `seeds`; none for one look.
        bf16: whether to train in bfloat16 where the processor has units for it.
        level: of the intervals at a look.
    """

    name: str
    width: float
    seeds: int
    depths: tuple[int, ...]
    autoencoders: tuple[int, ...]
    damage: tuple[str, ...]
    samples: int | None
    epochs: int
    plain_epochs: int
    batch_size: int
    kept_epochs: tuple[int, ...]
    ru_trainings: int
    test_samples: int | None
    images: int
    ru_images: int
    sid_passes: int
    ru_passes: int
    tolerance: float
    decoder: DecoderRecipe
    autoencoder_epochs: int
    thresholds: tuple[float, ...]
    retrain_epochs: int
    cub_network: str
    cub_epochs: int
    cub_library: bool
    attacked: int
    given_images: int
    given_passes: int
    looks: tuple[int, ...] = ()
    bf16: bool = False
    level: float = 0.95

    @property
    def schedule(self) -> tuple[int, ...]:
        """Trainings of each network at each look; a single number where there is but one look."""
        return self.looks or (self.seeds,)

    def at(self, seeds: int) -> Preset:
        """Returns the preset of one look, with the level of its intervals (see `sequential`)."""
        if not self.looks:
            return self
        return replace(self, seeds=seeds, level=levels(self.looks)[self.looks.index(seeds)])

    def spec(self, name: str) -> str:
        """Returns the spec of an AlexNet, VGG or ResNet-18/34 of this preset's width."""
        return f"zoo:{name}" + ("" if self.width == 1 else f",width={self.width:g}")


QUICK = Preset(
    name="quick",
    width=0.05,
    seeds=2,
    depths=(20, 32),
    autoencoders=(20,),
    damage=("layer1.1",),
    samples=64,
    epochs=1,
    plain_epochs=1,
    batch_size=32,
    kept_epochs=(0, 1),
    ru_trainings=1,
    test_samples=20,
    images=3,
    ru_images=1,
    sid_passes=256,
    ru_passes=256,
    tolerance=5.0,
    decoder=DecoderRecipe(samples=32, epochs=1, width=4),
    autoencoder_epochs=1,
    thresholds=(0.5,),
    retrain_epochs=1,
    cub_network="width=0.05,size=32",
    cub_epochs=1,
    cub_library=False,
    attacked=8,
    given_images=2,
    given_passes=96,
)

CPU = Preset(
    name="cpu",
    width=0.25,
    seeds=3,
    depths=(20, 32),
    autoencoders=(20,),
    damage=("layer1.1", "layer2.1"),
    samples=12_800,
    epochs=4,
    plain_epochs=8,
    batch_size=64,
    kept_epochs=(0, 1, 2, 3, 4),
    ru_trainings=1,
    test_samples=2_000,
    images=32,
    ru_images=32,
    sid_passes=256,
    ru_passes=256,
    tolerance=0.05,
    decoder=DecoderRecipe(samples=6_400, epochs=3, width=8),
    autoencoder_epochs=3,
    thresholds=(0.75, 1.25, 1.75),
    retrain_epochs=2,
    cub_network="width=0.25,size=32",
    cub_epochs=60,
    cub_library=False,
    attacked=256,
    given_images=16,
    given_passes=400,
)

DESK = Preset(
    name="desk",
    width=0.25,
    seeds=8,
    looks=(4, 6, 8),
    bf16=True,
    depths=(20, 32),
    autoencoders=(20,),
    damage=("layer1.1", "layer2.1"),
    samples=None,
    epochs=14,
    plain_epochs=20,
    batch_size=128,
    kept_epochs=(0, 1, 2, 4, 7, 10, 14),
    ru_trainings=4,
    test_samples=None,
    images=32,
    ru_images=16,
    sid_passes=400,
    ru_passes=400,
    tolerance=0.05,
    decoder=DecoderRecipe(samples=12_800, epochs=4, width=16),
    autoencoder_epochs=6,
    thresholds=(0.75, 1.25, 1.75),
    retrain_epochs=4,
    cub_network="width=0.25,size=32",
    cub_epochs=60,
    cub_library=False,
    attacked=512,
    given_images=64,
    given_passes=800,
)

PAPER = Preset(
    name="paper",
    width=1.0,
    seeds=3,
    depths=(20, 32, 44),
    autoencoders=(20, 32, 44),
    damage=("layer1.1", "layer2.1", "layer3.0"),
    samples=None,
    epochs=100,
    plain_epochs=100,
    batch_size=128,
    kept_epochs=(0, 1, 2, 5, 10, 20, 40, 60, 80, 100),
    ru_trainings=3,
    test_samples=None,
    images=128,
    ru_images=128,
    sid_passes=5_000,
    ru_passes=1_600,
    tolerance=0.02,
    decoder=DecoderRecipe(epochs=20),
    autoencoder_epochs=50,
    thresholds=(0.5, 1.0, 1.5, 2.0),
    retrain_epochs=30,
    cub_network="",
    cub_epochs=100,
    cub_library=True,
    attacked=2_000,
    given_images=256,
    given_passes=1_600,
)

PRESETS = {preset.name: preset for preset in (QUICK, CPU, DESK, PAPER)}


def find(name: str) -> Preset:
    """Returns a preset by its name.

    Raises:
        InfodiscardError: there is none of that name.
    """
    if name not in PRESETS:
        raise InfodiscardError(
            f"There is no profile '{name}'; near it is {nearest(name, list(PRESETS), 1)}, and allowed are "
            f"{', '.join(PRESETS)}."
        )
    return PRESETS[name]
