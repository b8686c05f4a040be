"""Measurement of networks on samples, layer by layer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.settings import Settings
from ..data.coerce import coerce_inputs
from ..measurement.carry_out import carry_out
from ..measurement.engines import Engine
from ..measurement.execution import Execution
from ..measurement.prepare import Measurement, prepare
from ..networks.network import Network
from .run import Run
from .specs import data_of, networks_of


def measure(
    networks: str | nn.Module | Network | Sequence[str | nn.Module | Network] | Mapping[str, str | nn.Module | Network],
    data: Any,
    layers: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    metrics: Sequence[str] = Settings.metrics,
    alpha: float = Settings.alpha,
    tau: float | str = Settings.tau,
    sigma: str = Settings.sigma,
    seed: int = Settings.seed,
    masks: Any = None,
    out: str | Path | None = None,
    progress: bool = Execution.progress,
    *,
    decoders: str | Path | None = Execution.decoders,
    tolerance: float = Settings.tolerance,
    max_passes: int | Mapping[str, int] | None = None,
    cap: float | str | Mapping[str, float | str] = Settings.cap,
    start: str = Settings.start,
    precision: str = Settings.precision,
    kind: str | None = None,
    noise_on: str | int | None = None,
    valid: Any = None,
    block: int | None = Execution.block,
    batch_size: int | None = Execution.batch_size,
    device: str | torch.device | None = Execution.device,
    engine: str | Engine = Execution.engine,
    log: str | Path | None = Execution.log,
    budget: float | None = Execution.budget,
    callback: Callable[[Run], object] | None = None,
) -> Run:
    """Measures how much of the input each layer discards (SID), and how much cannot be reconstructed from it (RU).

    Args:
        networks: a module, a `Network`, or the spec of one (`infodiscard.zoo.load`), such as
            "torchvision:resnet18,weights=DEFAULT"; or several, in a list or by name. A `Network` that knows its
            normalisation takes images in [0, 1]; a bare module takes its inputs as they are.
        data: a spec (`infodiscard.data.load`) such as "folder:pictures", of which the first 16 images are taken, in the
            networks' size; an `ImageSet`, a `TextSet` (`infodiscard.data.text`), a float tensor `n × C × H × W`, a
            map-style data set of such images (or of tuples that begin with an image and a label), or a data loader; or
            inputs of another `kind`. For a network with several inputs, a dict by their names (or a data set or loader
            of such), or with `noise_on` a tuple.
        layers: names or patterns (see `infodiscard.networks.addresses`), for all networks or by network; by default the
            network's own `default_layers`, or else the parts of its trunk that carry spatial features, and its output.
            One that cannot be measured is skipped, if others can: `run.plan.skipped` says why.
        metrics: `sid`, `ru` or both. RU needs a decoder of every layer (`infodiscard.training.train_decoders`).
        alpha: the feature distance at which values are reported, in units of δ_f².
        tau: variance of the noise that defines δ_f²; or `paper` (0.01), or `code` (1e-4, as in the authors' code).
        sigma: where σ is free: `pixel` (one per pixel, token, time step or feature of a table), `unit` or `grid:G`.
        seed: of all noise; results depend on it, on the input and on the network, and on nothing else.
        masks: true on the object (`n × H × W`), or boxes `n × 4` as x, y, width, height; by default the data's own.
        out: directory of the run, or a URL such as `s3://bucket/run`; continued if it holds an unfinished one of the
            same plan. `None` keeps it in memory.
        progress: draw a progress bar on standard error.
        decoders: where RU's decoders are; the user's cache by default (`infodiscard.decoders.cache.default_folder`).
        tolerance: stop when the corrected SID is known to this standard error, in nats per pixel; for RU, when the
            estimated gap to the optimum is below it.
        max_passes: most forward-and-backward passes per sample and layer, for all metrics or by metric; by default
            5,000 for SID and 1,600 for RU.
        cap: largest σ: `range` (ten times the dynamic range of the input space: of a `Network` that knows its
            normalisation, that of its images; else of each sample by itself, taken as 10 √τ at least), `data` (each
            sample's standard deviation, but at least √(ατ)) or a number, for all networks or by network.
        start: where the search begins: `uniform`, or at the σ of the layer measured `before`, which saves passes in the
            last layers; values then depend, within their error, on which layers are measured.
        precision: of the network's forward and backward passes: `full`, its own; or `bf16`, by autocast. Distances and
            entropies are always computed in float32 or better.
        kind: what the inputs are: `image` (`n × C × H × W`), `tokens` (`n × T × D`), `series` (`n × C × L`) or `table`
            (`n × F`); images and tables are recognised by their shape.
        noise_on: the name, or place, of the input that noise is added to; by default the only one of floats. Where a
            transformer is given `input_ids`, it is their embeddings, `inputs_embeds`.
        valid: false on padding, `n × T`, for tokens and series; by default `attention_mask`, if that is among the
            inputs. A padded sample is measured as if it had come without padding.
        block: samples solved and stored together, by default 4 on a CPU and 32 on a GPU; no result depends on it.
        batch_size: noisy inputs in one forward pass; no result depends on it.
        device: where to compute, on a copy of the network if it is elsewhere; by default where the network is.
        engine: `local`, in this process; or `ray`, on a cluster, or an `infodiscard.measurement.engines.RayEngine`
            that says which and how (docs/scale.md). No result depends on it.
        log: a file for one line of JSON per unit of work; by default `log.jsonl` in `out`, if that is a directory.
        budget: seconds after which the work ends, with what is finished until then; the same call with the same `out`
            goes on. `None` measures all.
        callback: is called with the run whenever all layers of some more samples are finished; for a first picture.

    Returns:
        The run: finished, unless the budget was spent before.

    Raises:
        InfodiscardError: any input that cannot be measured, a layer without a decoder where RU is asked for, or an
            `out` that holds something else.
    """
    settings = Settings.of(
        metrics=metrics, alpha=alpha, tau=tau, sigma=sigma, cap=cap, seed=seed, tolerance=tolerance,
        max_passes=max_passes, start=start, precision=precision,
    )  # fmt: skip
    execution = Execution(
        decoders=decoders, block=block, batch_size=batch_size, device=device, engine=engine, log=log, progress=progress,
        budget=budget, callback=callback,
    )  # fmt: skip
    inputs = {"masks": masks, "kind": kind, "noise_on": noise_on, "valid": valid}
    return carry(prepared(networks, data, layers, settings, execution, inputs), execution, out)


def prepared(
    networks: Any, data: Any, layers: Any, settings: Settings, execution: Execution, inputs: Mapping[str, Any]
) -> Measurement:
    """Checks everything that a measurement needs, before anything is written.

    Args:
        networks, data, layers: as for `measure`.
        settings, execution: checked.
        inputs: the arguments of `measure` that go with the data.

    Raises:
        InfodiscardError: as for `measure`.
    """
    named = networks_of(networks)
    return prepare(named, coerce_inputs(data_of(data, named), **inputs), layers, settings, execution)


def carry(
    ready: Measurement,
    execution: Execution,
    out: str | Path | None = None,
    started: Callable[[Run], object] = lambda run: None,
) -> Run:
    """Measures what is prepared.

    Args:
        ready: checked.
        execution: as it was checked with.
        out: as for `measure`.
        started: is called with the run before anything of it is measured now.

    Raises:
        InfodiscardError: `out` holds something else, or cannot be written.
    """
    with Run.resume_or_create(ready.plan, out, **ready.inputs.pictures(), former=ready.former) as run:
        started(run)
        for layer, why in ready.plan.skipped.items() if execution.progress else ():
            print(f"Skipped: layer '{layer}', as {why}", file=sys.stderr)
        carry_out(run, ready, execution)
    return run
