"""Gate for pipelines, which measures what is not measured yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from ..analysis.gate import Allowed, Gate, check_arguments, judge, refuse_settings, side_of, too_few
from ..analysis.side import Side
from ..analysis.verdict import CONFIDENCE
from ..core.settings import Settings
from ..errors import InfodiscardError
from ..networks.network import Network
from .measure import measure
from .run import Run


def check(
    base: Any,
    candidate: Any,
    max_change: float | None = None,
    metric: Literal["sid", "ru"] = "sid",
    by: Literal["name", "position", "auto"] = "name",
    confidence: float = CONFIDENCE,
    data: Any = None,
    *,
    max_increase: float | None = None,
    max_decrease: float | None = None,
    **options: Any,
) -> Gate:
    """Says whether a candidate (pruned, quantised, distilled, retrained) is still the same as its base.

    At each layer, the change candidate − base is averaged over the images that both have. The verdict is

    - PASS if at every layer the interval of the mean change, at this confidence, lies within what is allowed, and the
      upper bound of what single images change by (their root mean square) within twice that;
    - DIFFERS if at some layer the change lies outside and is significant: not 0 by a paired t-test of the mean, or by
      a χ² test of single images against their own errors, both corrected for the number of layers by Holm's method; or
      if significantly fewer images are classified as labelled, by a sign test;
    - UNDECIDED else.

    SID is compared as corrected, and the error of that is part of the tests; of RU, and of the SID of runs without
    corrected values, only the mean is tested, and the solver's estimated gap counts against every verdict.

    Args:
        base: a run of one network; its directory; `DIR/NETWORK` for one network of several; a `compare.Side`; or a
            network (a module or a `Network`), which is measured on `data`.
        candidate: the same. If only one of both is a network, it is measured on the layers and under the settings of
            the other's run, unless `options` say otherwise.
        max_change: what is allowed in either direction, nats/pixel, 0 or more; `None`: 0.05, or a tenth of what the
            base discards at the layer (its SID above that of a layer that discards nothing), whichever is more.
        metric: "sid" or "ru".
        by: how layers are paired, as for `compare`.
        confidence: between 0.5 and 1.
        data: what networks are measured on, as for `infodiscard.measure`.
        max_increase: what is allowed upwards, where it is not `max_change`; `math.inf` leaves that unchecked, and
            single images too.
        max_decrease: the same downwards.
        options: other arguments of `infodiscard.measure` for them.

    Raises:
        InfodiscardError: it cannot be decided: unlike settings or images, an unfinished run, a layer with fewer than
            two images, or no shared layers; or bad arguments.
    """
    allowed = Allowed(max_change, max_increase, max_decrease)
    check_arguments(metric, by, confidence)
    a, b = _sides(base, candidate, metric, by, data, options)
    return judge(a, b, allowed, metric, by, confidence)


def _sides(base: Any, candidate: Any, metric: str, by: str, data: Any, options: Mapping[str, Any]) -> tuple[Side, Side]:
    """Converts the arguments to two sides, and measures those that are networks; both into one run if both are."""
    fresh = [isinstance(value, nn.Module | Network) for value in (base, candidate)]
    if not any(fresh):
        if data is not None or options:
            raise InfodiscardError(
                "Both are runs, which are measured already; leave out data and the options of measuring "
                f"({', '.join(['data'] * (data is not None) + list(options))})."
            )
        return side_of(base, "base"), side_of(candidate, "candidate")
    if data is None:
        raise InfodiscardError("A network is measured before it is checked; give data to measure it on.")
    if metric not in options.get("metrics", metric):
        raise InfodiscardError(f"metrics was {options['metrics']}; it must include '{metric}', which is checked.")
    if hasattr(data, "__len__") and len(data) < 2:
        raise too_few(f"{len(data)} was given")
    if all(fresh):
        names = _names(base, candidate)
        arguments = {"metrics": (metric,)} | dict(options)
        run = measure(dict(zip(names, (base, candidate), strict=True)), data, **arguments)
        _refuse_skipped(run)
        return Side("base", run, names[0]), Side("candidate", run, names[1])
    known = side_of(candidate, "candidate") if fresh[0] else side_of(base, "base")
    value, role = (base, "base") if fresh[0] else (candidate, "candidate")
    name = value.name if isinstance(value, Network) else role
    arguments = _like(known, metric, by) | dict(options)
    settings = Settings.of(**{name: value for name, value in arguments.items() if name in Settings.names()})
    refuse_settings(known.run.plan.settings, settings)
    run = measure({name: value}, data, **arguments)
    _refuse_skipped(run)
    new = Side(role, run, name)
    return (new, known) if fresh[0] else (known, new)


def _refuse_skipped(run: Run) -> None:
    """Raises InfodiscardError if a layer could not be measured of one network alone: no verdict may pass over it."""
    skipped: dict[str, list[str]] = {}
    for key in run.plan.skipped:
        network = next(name for name in run.plan.networks if key.startswith(f"{name}/"))
        skipped.setdefault(key.removeprefix(f"{network}/"), []).append(key)
    for layer, keys in skipped.items():
        if len(keys) < max(2, len(run.plan.networks)):
            name, why = keys[0].removesuffix(f"/{layer}"), run.plan.skipped[keys[0]]
            raise InfodiscardError(f"Layer '{layer}' of '{name}' cannot be measured: {why}")


def _names(base: Any, candidate: Any) -> tuple[str, str]:
    """Returns what two networks are called in their run: as they are themselves, if that tells them apart."""
    names = tuple(value.name if isinstance(value, Network) else "" for value in (base, candidate))
    return (names[0], names[1]) if all(names) and len(set(names)) == 2 else ("base", "candidate")


def _like(side: Side, metric: str, by: str = "name") -> dict[str, Any]:
    """Returns the arguments of `infodiscard.measure` under which a network is measured as that of a run was."""
    settings = side.run.plan.settings
    names = settings.names("quantity", "limit", "noise", "search")
    arguments = {name: settings.of_network(name, side.network) for name in names if name != "start" or metric == "sid"}
    # Other networks call their layers something else.
    layers = list(side.layers) if by == "name" else None
    return arguments | {"layers": layers, "max_passes": settings.max_passes.get(metric), "metrics": (metric,)}
