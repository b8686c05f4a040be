"""A gate for pipelines: does a changed network discard significantly more than the one it was made from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.metrics import METRICS
from ..core.settings import Settings
from ..errors import InfodiscardError, nearest, number, quoted
from ..results.places import as_place
from ..results.run import StoredRun
from ..results.store import STORE, holds_run
from .paired import Difference, check_pairing, compare_sides, pair_layers
from .side import Side
from .statistics import holm, holm_levels, t_bound, t_tail
from .trust import other_pixels

if TYPE_CHECKING:
    import pandas as pd

MORE, WITHIN, LESS, UNKNOWN = "more", "within", "less", "cannot tell"


@dataclass(frozen=True)
class Gate:
    """What a check found.

    Attributes:
        table: one row per layer, in execution order: `layer`; `base` and `candidate`, the means over the images;
            `difference`, the mean of candidate − base; `se`, its standard error over the `n` images, the systematic
            errors of both sides' corrections included; `basis`, whether the values are "corrected" or as "reached" (""
            for RU); `gap`, the larger of both sides' mean estimated gaps to the optimum, 0 between corrected values;
            `bound`, the one-sided lower confidence bound of the difference less the gap, at the level at which Holm's
            method tests the layer: above `max_increase` just if the verdict is "more"; `p`, one-sided, of the
            difference less the gap being `max_increase` or less; `p_holm`, the same corrected for the number of layers;
            `verdict`; `warning`, why not to trust the row. Entropies in nats/pixel (or what `unit` says).
        passed: whether no layer's verdict is "more".
        worst: the layer of the largest difference, among those of the verdict "more" if there are any.
        base: which network of which run the first is.
        candidate: the same of the second.
        metric: "sid" or "ru".
        max_increase: what is allowed, nats/pixel.
        confidence: of the one-sided tests.
        left_out: layers that only one of both has, which are not compared.
        unit: what values are per, in nats.
    """

    table: pd.DataFrame
    passed: bool
    worst: str
    base: str
    candidate: str
    metric: str
    max_increase: float
    confidence: float
    left_out: tuple[str, ...] = ()
    unit: str = "pixel"

    @property
    def sentence(self) -> str:
        """Whether it passed, and where the candidate discards most."""
        row = self.table.set_index("layer").loc[self.worst]
        name, count = METRICS[self.metric].title, len(self.table)
        more, unknown = (int((self.table["verdict"] == word).sum()) for word in (MORE, UNKNOWN))
        where = f"{'most at' if more > 1 else 'at'} {self.worst}: {row['difference']:+.3f} nats/{self.unit}"
        if more:
            return (
                f"FAIL: {name} of the candidate is significantly more than {self.max_increase:g} nats/{self.unit} "
                f"above that of the base in {more} of {count} layers, {where}, at least {row['bound']:+.3f}."
            )
        doubt = f"; in {unknown} of {count} layers it cannot be told whether it is" if unknown else ""
        return (
            f"PASS: {name} of the candidate is nowhere significantly more than {self.max_increase:g} nats/{self.unit} "
            f"above that of the base; largest difference {where}{doubt}."
        )


def judge(
    a: Side,
    b: Side,
    max_increase: float,
    metric: str,
    by: str,
    confidence: float,
) -> Gate:
    """Says whether one side discards significantly more than another, as `infodiscard.check` does.

    Args:
        a: the base, whose run is finished.
        b: the candidate, whose run is finished too.
        max_increase: what is allowed, nats/pixel, 0 or more.
        metric: "sid" or "ru".
        by: how layers are paired, as for `infodiscard.compare`.
        confidence: of the one-sided tests, between 0.5 and 1.

    Raises:
        InfodiscardError: it cannot be decided: unlike settings or images, an unfinished run, a layer with fewer than
            two images, or no shared layers; or bad arguments.
    """
    check_arguments(max_increase, metric, by, confidence)
    _refuse_unlike(a, b)
    rows = compare_sides(a, b, metric, by)
    pairs = pair_layers(a.name, a.layers, b.name, b.layers, by)
    _refuse_too_few(rows, len(pairs))
    table = judged(rows, max_increase, confidence)
    more = table[table["verdict"] == MORE]
    ranked = (more if len(more) else table).set_index("layer")["difference"]
    paired = {layer for pair in pairs for layer in pair}
    return Gate(
        table,
        passed=more.empty,
        worst=str(ranked.idxmax()),
        base=_described(a),
        candidate=_described(b),
        metric=metric,
        max_increase=max_increase,
        confidence=confidence,
        left_out=tuple(layer for layer in dict.fromkeys((*a.layers, *b.layers)) if layer not in paired),
        unit=a.run.plan.layout.unit,
    )


def judged(rows: Sequence[Difference], max_increase: float, confidence: float) -> pd.DataFrame:
    """Returns the table of a `Gate`.

    Args:
        rows: of `compare.compare_sides`, each of two images or more.
        max_increase: what is allowed, nats/pixel.
        confidence: of the one-sided tests.
    """
    import pandas as pd

    alpha, table = 1 - confidence, pd.DataFrame(rows).rename(columns={"mean_a": "base", "mean_b": "candidate"})
    # The gap counts against whatever is to be shown.
    more = [_tail(row, row["difference"] - row["gap"] - max_increase) for row in rows]
    within = [1 - _tail(row, row["difference"] + row["gap"] - max_increase) for row in rows]
    less = [_tail(row, -row["difference"] - row["gap"]) for row in rows]
    shown = {word: [p <= alpha for p in holm(each)] for word, each in ((MORE, more), (LESS, less), (WITHIN, within))}
    levels = holm_levels(more, alpha)
    table["bound"] = [_bound(row, level) for row, level in zip(rows, levels, strict=True)]
    table["p"], table["p_holm"] = more, holm(more)
    table["verdict"] = [next((word for word in shown if shown[word][i]), UNKNOWN) for i in range(len(rows))]
    columns = ["layer", "base", "candidate", "difference", "se", "n", "basis", "gap", "bound", "p", "p_holm", "verdict"]
    return table[[*columns, "warning"]]


def _tail(row: Difference, excess: float) -> float:
    """Returns how probable an excess of this size or more is if there is none; without any scatter it is known."""
    if row["se"] == 0:
        return 0.0 if excess > 0 else 1.0
    return t_tail(excess / row["se"], row["n"] - 1)


def _bound(row: Difference, level: float) -> float:
    """Returns the lower confidence bound of the difference less the gap, wrong with a probability of `level`."""
    half = t_bound(level, row["n"] - 1) * row["se"] if row["se"] > 0 else 0.0
    return row["difference"] - row["gap"] - half


# -- what is compared ------------------------------------------------------------------------------------------------


def is_run(place: str | Path) -> bool:
    """Says whether a text means a run, or one network of a run (`DIR/NETWORK`), rather than a network to measure."""
    path = as_place(place)
    return _holds_run(path) or (path.parent != Path() and _holds_run(path.parent) and not path.exists())


def _holds_run(path: Any) -> bool:
    return path.name == STORE or holds_run(path)


def side_of(value: Any, role: str) -> Side:
    """Converts a run of one network, its directory, or `DIR/NETWORK` to a side of a comparison, named `role`.

    Raises:
        InfodiscardError: there is no such run, it has no such network, or several and none is named.
    """
    if isinstance(value, Side):
        return replace(value, name=role)
    network = None
    if isinstance(value, StoredRun):
        run = value
    elif isinstance(value, str | Path):
        path = as_place(value)
        if is_run(path) and not _holds_run(path):
            path, network = path.parent, path.name
        run = StoredRun.open(path)
    else:
        raise InfodiscardError(
            f"Cannot check a {type(value).__name__}; give a run, the directory of one, or a network with data."
        )
    names = run.plan.networks
    if network is not None and network not in names:
        raise InfodiscardError(f"'{run.path}' holds no network '{network}'; the nearest are {nearest(network, names)}.")
    if network is None and len(names) > 1:
        place = run.path or "DIR"
        raise InfodiscardError(
            f"The run given as {role} holds {len(names)} networks; name one of them, as in '{place}/{names[0]}'."
        )
    return Side(role, run, network or names[0])


def _described(side: Side) -> str:
    return f"{side.network} in {side.run.path or 'memory'}"


# -- when nothing can be decided -------------------------------------------------------------------------------------


def check_arguments(max_increase: float, metric: str, by: str, confidence: float) -> None:
    """Raises InfodiscardError if an argument of `check` is none of those allowed."""
    number("max_increase", max_increase, "a number of nats/pixel, 0 or more", lambda given: given >= 0)
    number("confidence", confidence, "a number between 0.5 and 1, such as 0.95", lambda given: 0.5 < given < 1)
    if not isinstance(metric, str) or metric not in METRICS:
        raise InfodiscardError(f"metric was {quoted(metric)}; what can be checked is {', '.join(METRICS)}.")
    check_pairing(by)


def _refuse_unlike(a: Side, b: Side) -> None:
    """Raises InfodiscardError if two sides hold different quantities, or not all that they should."""
    for side in (a, b):
        if side.missing:
            raise InfodiscardError(
                f"The run of the {side.name} is not finished, {side.missing} units are missing, and a part decides "
                "nothing; finish it with the command that started it."
            )
    refuse_settings(a.run.plan.settings, b.run.plan.settings)
    if other_pixels(a, b):
        raise InfodiscardError(
            "The samples of base and candidate have the same names but other pixels; measure both on the same images."
        )


def refuse_settings(old: Settings, new: Settings) -> None:
    """Raises InfodiscardError if two settings of a run say that different quantities are measured."""
    for name in Settings.names("quantity"):
        first, second = getattr(old, name), getattr(new, name)
        if first != second:
            raise InfodiscardError(
                f"{name} differs ({first} and {second}), and values under different ones are not "
                "comparable; measure both alike."
            )


def _refuse_too_few(rows: Sequence[Mapping[str, Any]], layers: int) -> None:
    """Raises InfodiscardError if a layer has fewer than two images, whose scatter is unknown."""
    few = [f"{row['layer']} has {row['n']}" for row in rows if row["n"] < 2]
    if len(rows) < layers:
        few.append(f"{layers - len(rows)} layers have none")
    if few:
        raise too_few(few[0])


def too_few(what: str) -> InfodiscardError:
    return InfodiscardError(
        f"There are too few images on both sides to decide anything: {what}; measure two or more, better thirty."
    )
