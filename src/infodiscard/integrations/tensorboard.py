"""TensorBoard: a run's numbers and pictures as event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import translate_os_errors
from ..errors import InfodiscardError
from ..plots.style import pixels
from .tracking import distinct, measured, pictures, provenance, scalars

if TYPE_CHECKING:
    from ..api.run import Run


def to_tensorboard(run: Run, directory: str | Path, step: int = 0) -> list[Path]:
    """Writes what is measured of a run as TensorBoard's event files, in a folder for each network.

    Args:
        run: a run with something measured; what is missing is omitted.
        directory: where to; TensorBoard's `--logdir`. Writing twice adds a second file, which TensorBoard shows too.
        step: at which step the values stand, such as the epoch of the training that the network is from.

    Returns:
        The folders.

    Raises:
        InfodiscardError: nothing is measured, TensorBoard is missing, or the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InfodiscardError(
            "This needs TensorBoard; install it with pip install 'infodiscard[tensorboard]'."
        ) from error
    summary, networks = measured(run)
    root, folders = Path(directory).expanduser(), []
    for network, folder in distinct(networks, r"[^\w.+-]+").items():
        with translate_os_errors("write for TensorBoard in", root), SummaryWriter(str(root / folder)) as writer:
            for name, value in scalars(run, summary, network).items():
                writer.add_scalar(name, value, step)
            for name, draw in pictures(run, network).items():
                writer.add_image(name, pixels(draw()), step, dataformats="HWC")
            writer.add_text("made", _table(provenance(run)), step)
        folders.append(root / folder)
    return folders


def _table(texts: Mapping[str, str]) -> str:
    """Returns names and values as a table in Markdown, as TensorBoard shows it."""
    rows = [f"| {name} | `{value}` |" for name, value in texts.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])
