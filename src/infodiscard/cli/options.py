"""Options and arguments that several commands take, and the settings of the demo."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from ..api.specs import SAMPLES
from ..core.metrics import METRICS
from ..core.settings import Settings
from ..errors import InfodiscardError
from ..measurement.engines.ray import RayEngine
from ..measurement.execution import DEFAULT_BLOCK, Execution
from .parsing import number_or_word, numbers, patterns, pixels, seconds

DEMO: dict[str, Any] = {  # what a dozen images and five layers take in a few minutes
    "metrics": ("sid", "ru"),
    "max_passes": {"sid": 1000, "ru": 500},
    "tolerance": 0.03,
    "block": 2,  # a first picture after a sixth of the time
}
QUICK: dict[str, Any] = {"samples": 4, "max-passes": 128, "tolerance": 0.05, "block": 1}
"""What `--quick` stands for."""

NETWORK = (
    "'demo', 'zoo:resnet20', 'torchvision:NAME', 'timm:NAME', 'hf:DIR' (saved by save_pretrained), 'FILE.py:FUNCTION' "
    "or a trained 'FILE.safetensors'."
)
DATA = "'demo', 'cifar10', 'cub:DIR', 'folder:DIR', 'parquet:PATTERN' (quoted) or 'npz:FILE'."

PASSES = ", ".join(f"{metric.passes:,} for {metric.title}" for metric in METRICS.values())
CONTEXT = "context"  # the parameter by which a command knows which options were typed
NETWORKS, IMAGES, TEXTS, METHOD, WHERE = "Networks", "Images", "Texts", "Method", "Where it runs"  # panels of --help

Spec = Annotated[str, typer.Argument(metavar="NETWORK", help=NETWORK, show_default=False)]
Specs = Annotated[list[str], typer.Argument(metavar="NETWORK", help=NETWORK, show_default=False)]
DataSpec = Annotated[str, typer.Option("--data", metavar="SPEC", help=DATA, show_default=False, rich_help_panel=IMAGES)]
NetworkData = Annotated[
    str | None, typer.Option("--data", metavar="SPEC", help=f"For networks: {DATA}", rich_help_panel=IMAGES)
]
ImageData = Annotated[
    str | None, typer.Option("--data", metavar="SPEC", help=f"For image networks: {DATA}", rich_help_panel=IMAGES)
]
TextFile = Annotated[
    Path | None,
    typer.Option("--text", metavar="FILE", help="For language models: one text per line.", rich_help_panel=TEXTS),
]
Truncate = Annotated[
    bool, typer.Option("--truncate", help="Cut texts that are longer than the model takes.", rich_help_panel=TEXTS)
]
Pairing = Annotated[
    str, typer.Option(help="Pair layers by 'name', by 'position', or 'auto': by name if any is shared.")
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Layers, such as 'layer*' or 'output'; repeat, or use commas. By default the network's usual ones.",
        rich_help_panel=NETWORKS,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="M,M,M", help="Per-channel mean of images between 0 and 1.", rich_help_panel=NETWORKS),
]
Std = Annotated[
    str | None,
    typer.Option(metavar="S,S,S", help="Their per-channel standard deviation.", rich_help_panel=NETWORKS),
]
Size = Annotated[
    str | None,
    typer.Option(metavar="H[xW]", help="Resize and crop images to this, such as 224x224.", rich_help_panel=IMAGES),
]
Device = Annotated[str, typer.Option(help="Where to compute, such as 'cpu', 'cuda' or 'cuda:1'.")]


@dataclass(frozen=True)
class Measuring:
    """The options of every command that measures networks, as they were typed; their defaults and their help."""

    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="State dict; once per network, in order ('-' for one that needs none).",
            rich_help_panel=NETWORKS,
        ),
    ] = None
    name: Annotated[
        list[str] | None,
        typer.Option(help="What tables call the network; once per network, in order.", rich_help_panel=NETWORKS),
    ] = None
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Networks without weights will do.", rich_help_panel=NETWORKS)
    ] = False
    samples: Annotated[int, typer.Option(help="How many images or texts, from the first.", rich_help_panel=IMAGES)] = (
        SAMPLES
    )
    layers: Layers = None
    metrics: Annotated[
        str, typer.Option(help="'sid', 'ru' or 'sid,ru'; RU needs decoders.", rich_help_panel=METHOD)
    ] = ",".join(Settings.metrics)
    decoders: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where RU's decoders are; by default your cache.", rich_help_panel=NETWORKS),
    ] = None
    alpha: Annotated[
        float, typer.Option(help="Feature distance to reach, in units of δ_f².", rich_help_panel=METHOD)
    ] = Settings.alpha
    tau: Annotated[
        str,
        typer.Option(
            help="Variance of the noise behind δ_f²; or 'paper' (0.01), 'code' (0.0001).", rich_help_panel=METHOD
        ),
    ] = str(Settings.tau)
    sigma: Annotated[
        str, typer.Option(help="One σ per 'pixel', per 'unit', or on a 'grid:G'.", rich_help_panel=METHOD)
    ] = Settings.sigma
    seed: Annotated[int, typer.Option(help="Of the noise, and of random weights.", rich_help_panel=METHOD)] = (
        Settings.seed
    )
    tolerance: Annotated[
        float, typer.Option(help="Error of the corrected SID (gap of RU) at which to stop.", rich_help_panel=METHOD)
    ] = Settings.tolerance
    max_passes: Annotated[
        int | None,
        typer.Option(
            help=f"Most passes per image and layer; {PASSES}.",
            rich_help_panel=METHOD,
        ),
    ] = None
    cap: Annotated[
        str,
        typer.Option(help="Largest σ: 'range' (10 × that of the input), 'data', or a number.", rich_help_panel=METHOD),
    ] = "range"
    start: Annotated[
        str,
        typer.Option(help="'uniform', or from the σ of the layer measured 'before'.", rich_help_panel=METHOD),
    ] = "uniform"
    split: Annotated[str, typer.Option(help="'train' or 'test', for 'cifar10' and 'cub'.", rich_help_panel=IMAGES)] = (
        "test"
    )
    crop: Annotated[
        float | None, typer.Option(help="For 'cub': times the bird's box to keep.", rich_help_panel=IMAGES)
    ] = None
    annotations: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="For 'folder': boxes (.csv), COCO (.json), folder of Pascal VOC's .xml or of masks; "
            "by default what lies in it.",
            rich_help_panel=IMAGES,
        ),
    ] = None
    mean: Mean = None
    std: Std = None
    size: Size = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Noisy images at once; by default as fits.")] = None
    precision: Annotated[str, typer.Option(help="Of the passes: 'full', or 'bf16' by autocast.")] = Settings.precision
    device: Device = "cpu"
    engine: Annotated[str, typer.Option(help="'local': this process; or 'ray': a cluster.", rich_help_panel=WHERE)] = (
        str(Execution.engine)
    )
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster; by default this machine alone.", rich_help_panel=WHERE),
    ] = None
    workers: Annotated[
        int | None, typer.Option(help="Most units at a time with Ray; by default what fits.", rich_help_panel=WHERE)
    ] = None
    gpus: Annotated[
        float, typer.Option(help="GPUs for each unit with Ray; 0.5: two share one.", rich_help_panel=WHERE)
    ] = 0
    block: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images solved and stored together; "
            f"by default {DEFAULT_BLOCK['cpu']}, on GPUs {DEFAULT_BLOCK['cuda']}.",
            rich_help_panel=WHERE,
        ),
    ] = None
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where the run goes, or its URL; one that is there is continued."),
    ] = None
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A line of JSON per unit; by default log.jsonl in --out.")
    ] = None
    progress: Annotated[bool, typer.Option(help="Show the time left.")] = Execution.progress
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A first impression: " + ", ".join(f"--{n} {v}" for n, v in QUICK.items()) + "."),
    ] = False
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End after 90s, 5min or 2h with what is finished; run it again for more."),
    ] = None

    def hastened(self, chosen: Collection[str]) -> Self:
        """Returns the options with what `--quick` stands for, where that is given, but for those that were `chosen`."""
        usual = {name.replace("-", "_"): value for name, value in QUICK.items()} if self.quick else {}
        return replace(self, **{name: value for name, value in usual.items() if name not in chosen})

    @property
    def space(self) -> dict[str, Any]:
        """How networks take their images: what `zoo.load` calls mean, std and input_size, `None` where not given.

        Raises:
            InfodiscardError: they are not numbers.
        """
        return {"mean": numbers(self.mean, "mean"), "std": numbers(self.std, "std"), "input_size": pixels(self.size)}

    def _engine(self) -> Any:
        """Returns the engine.

        Raises:
            InfodiscardError: there is none of that name, or it has no such options.
        """
        if self.engine == "ray":
            return RayEngine(self.address, self.workers, gpus=self.gpus)
        unused = [name for name in ("address", "workers", "gpus") if getattr(self, name)]
        if unused:
            raise InfodiscardError(f"--{unused[0]} is for --engine ray; give that too, or leave it out.")
        return self.engine

    def arguments(self, only: Collection[str] | None = None) -> dict[str, Any]:
        """Returns the keyword arguments of `infodiscard.measure`.

        Args:
            only: names of options; the others are omitted.
        """
        taken = {"layers", "out", *Settings.names(), *Execution.names()}
        parsed = {
            "layers": patterns(self.layers),
            "metrics": [name for name in re.split(r"[,\s]+", self.metrics.lower()) if name],
            "tau": number_or_word(self.tau),
            "cap": number_or_word(self.cap),
            "engine": self._engine(),
            "budget": None if self.budget is None else seconds(self.budget, "budget"),
        }
        values = {name: value for name, value in vars(self).items() if name in taken} | parsed
        return {name: value for name, value in values.items() if only is None or name in only}

    def settings(self) -> Settings:
        """Returns the settings of a run.

        Raises:
            InfodiscardError: an option is not allowed.
        """
        return Settings.of(**self.arguments(Settings.names()))


def measures(command: Callable[..., None], but: Collection[str] = ()) -> Callable[..., None]:
    """Makes a command take, in place of its parameter `options`, one option for every field of `Measuring`.

    Args:
        command: the function.
        but: fields that it does not take, and which have their defaults.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    shared = list(inspect.signature(Measuring, eval_str=True).parameters.values())
    names = {each.name for each in own}
    kept = [each for each in own if each.name not in ("options", CONTEXT)]
    taken = [each for each in shared if each.name not in but]

    @wraps(command)
    def called(context: typer.Context, **values: Any) -> None:
        values |= {CONTEXT: context} if CONTEXT in names else {}
        options = Measuring(**{each.name: values.pop(each.name) for each in taken})
        command(**values, options=options.hastened(typed(context)))

    # Keywords only, as an option without a default may then follow one with a default.
    first = inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (first, *kept, *taken)]
    called.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    return called


def typed(context: typer.Context) -> set[str]:
    """Returns the names of the options of `Measuring` that were given on the command line."""
    names = {each.name for each in fields(Measuring)}
    return {name for name in names if getattr(context.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"}
