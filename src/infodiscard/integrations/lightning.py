"""A callback for Lightning that measures layers while their network is trained."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from ..api.measure import measure
from ..api.run import Run
from ..core.metrics import METRICS
from ..core.settings import Settings
from ..data.coerce import coerce_inputs
from ..data.inputs import Inputs
from ..errors import InfodiscardError
from ..measurement.prepared_network import PreparedNetwork
from ..networks.network import Network
from ..plots.style import pixels

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise InfodiscardError("The callback needs Lightning; install it with pip install 'infodiscard[train]'.") from error

if TYPE_CHECKING:
    import pandas as pd
    from lightning.pytorch import LightningModule, Trainer


class MeasureLayers(Callback):
    """Measures layers at chosen epochs, logs curves and maps, and leaves the training as it was.

    Every logger gets one scalar per layer, `sid_corrected/LAYER` and, as the search reached it, `sid/LAYER` (and `ru/`,
    `concentration/`, …, where these are measured), at the trainer's global step. Loggers that take images
    (TensorBoard's, Weights & Biases') also get the sheet of maps, `sid_map` and `ru_map`. The network is in eval mode
    while it is measured; its flags, weights, buffers, gradients and all random states are afterwards what they were.
    Where several processes train, the first one measures.

    Args:
        images: as `data` in `infodiscard.measure`, in the network's input space, with masks if they have any; with
            the options `kind`, `noise_on` and `valid` also inputs other than images.
        layers: names or patterns (see `infodiscard.networks.addresses`), as seen from the network.
        epochs: measure every that many epochs, or after the epochs listed; 0 is before the training.
        network: the name of the network within the LightningModule, such as `model`; by default the LightningModule
            itself, whose `forward` must then take an image.
        maps: log the sheets of maps too.
        out: a folder for the runs, `epoch-0001` and so on; by default they are kept in memory.
        options: further arguments of `infodiscard.measure`.

    Attributes:
        runs: epochs trained → run.

    Raises:
        InfodiscardError: the images or epochs cannot be used, or Lightning is missing.
    """

    def __init__(
        self,
        images: Any,
        layers: str | Sequence[str],
        epochs: int | Collection[int] = 1,
        *,
        network: str | None = None,
        maps: bool = True,
        out: str | Path | None = None,
        **options: Any,
    ) -> None:
        listed = [epochs] if isinstance(epochs, int) else list(epochs)
        if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in listed) or epochs == 0:
            raise InfodiscardError(
                f"epochs was {epochs!r}; give a whole number above 0, to measure every so often, or a list of the "
                "epochs after which to measure, where 0 is before the training."
            )
        self._images, self._layers, self._epochs = images, [layers] if isinstance(layers, str) else list(layers), epochs
        self._network, self._maps, self._out = network, maps, None if out is None else Path(out)
        self._options = {"progress": False} | options
        self._inputs()  # bad inputs are refused now
        self.runs: dict[int, Run] = {}

    def to_dataframe(self) -> pd.DataFrame:
        """Returns one row per epoch, network, layer and image, with every scalar variable as a column.

        Raises:
            InfodiscardError: nothing was measured yet.
        """
        import pandas as pd

        if not self.runs:
            raise InfodiscardError("Nothing was measured yet; fit a Trainer with this callback, for enough epochs.")
        frames = {epoch: run.to_dataframe() for epoch, run in self.runs.items()}
        return pd.concat(frames, names=["epoch"]).reset_index("epoch").reset_index(drop=True)

    # -- Lightning's hooks --------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that the network has the layers, and measures where the epochs begin with 0.

        Raises:
            InfodiscardError: it has not, or it does not take the images.
        """
        if not trainer.is_global_zero:
            return
        module = self._module(pl_module)
        with _evaluating(module):
            name, settings = type(module).__name__, Settings(cap=self._options.get("cap", Settings.cap))
            PreparedNetwork.prepare(name, Network(module, name), self._inputs(), self._layers, settings, None)
        if not isinstance(self._epochs, int) and 0 in self._epochs and trainer.current_epoch == 0:
            self._record(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures after the chosen epochs; if the network cannot be measured then, warns and lets it train on."""
        epoch = trainer.current_epoch + 1
        due = epoch % self._epochs == 0 if isinstance(self._epochs, int) else epoch in self._epochs
        if not (due and trainer.is_global_zero):
            return
        try:
            self._record(trainer, pl_module, epoch)
        except InfodiscardError as error:
            warnings.warn(f"Nothing was measured after epoch {epoch}: {error}", stacklevel=2)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures where the trainer only validates."""
        if trainer.state.fn == "validate" and trainer.is_global_zero:
            self._record(trainer, pl_module, trainer.current_epoch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures where the trainer tests."""
        if trainer.is_global_zero:
            self._record(trainer, pl_module, trainer.current_epoch)

    # -- measuring and logging ----------------------------------------------------------------------------------------

    def _inputs(self) -> Inputs:
        about = {name: self._options[name] for name in ("masks", "kind", "noise_on", "valid") if name in self._options}
        return coerce_inputs(self._images, **about)

    def _module(self, pl_module: LightningModule) -> nn.Module:
        """Returns the network within the module that is trained."""
        if self._network is None:
            return pl_module
        module = getattr(pl_module, self._network, None)
        if not isinstance(module, nn.Module):
            names = ", ".join(f"'{name}'" for name, _ in pl_module.named_children())
            raise InfodiscardError(
                f"{type(pl_module).__name__} has no network '{self._network}'; its modules are {names or 'none'}."
            )
        return module

    def _record(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        """Measures and logs."""
        module = self._module(pl_module)
        out = None if self._out is None else self._out / f"epoch-{epoch:04d}"
        with _evaluating(module):
            run = measure(module, self._images, self._layers, out=out, **self._options)
        self.runs[epoch] = run
        table = run.summary()
        scalars = {
            f"{name}/{row['layer']}": float(row[name])
            for _, row in table.iterrows()
            for name in (mean for metric in METRICS.values() for mean in metric.means)
            if name in table
        }
        sheets = _sheets(run) if self._maps and any(map(_takes_images, trainer.loggers)) else {}
        for logger in trainer.loggers:
            logger.log_metrics({"epoch": epoch, **scalars}, step=trainer.global_step)
            if _takes_images(logger):
                for name, sheet in sheets.items():
                    _log_image(logger, name, sheet, trainer.global_step)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a network into eval mode, and each of its modules back into the mode that it was in."""
    flags = [(each, each.training) for each in module.modules()]
    try:
        for each, _ in flags:
            each.training = False
        yield
    finally:
        for each, flag in flags:
            each.training = flag


def _sheets(run: Run) -> dict[str, np.ndarray]:
    """Draws the sheet of maps of each metric, `height × width × 3`, uint8."""
    return {f"{metric}_map": pixels(run.plot_maps(metric=metric)) for metric in run.metrics}


def _takes_images(logger: Any) -> bool:
    writer = getattr(logger, "experiment", None)
    return callable(getattr(logger, "log_image", None)) or callable(getattr(writer, "add_image", None))


def _log_image(logger: Any, name: str, picture: np.ndarray, step: int) -> None:
    """Logs a picture (`height × width × 3`) the way that the logger has for it."""
    if callable(getattr(logger, "log_image", None)):  # Weights & Biases
        logger.log_image(key=name, images=[picture], step=step)
    else:  # TensorBoard
        logger.experiment.add_image(name, picture, global_step=step, dataformats="HWC")
