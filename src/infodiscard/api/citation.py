"""Citation of a measurement: what was measured, in a sentence, and whom to cite."""

from __future__ import annotations

import json

from ..core.metrics import METRICS
from ..results.run import StoredRun

METHOD = """@article{ma2019quantifying,
  title   = {Quantifying Layerwise Information Discarding of Neural Networks},
  author  = {Ma, Haotian and Zhang, Yinqing and Zhou, Fan and Zhang, Quanshi},
  journal = {arXiv preprint arXiv:1906.04109},
  year    = {2019}
}"""

NAMES = {"sid": "strict information discarding", "ru": "reconstruction uncertainty"}


def citation(run: StoredRun) -> str:
    """Returns what a paper has to say of a run, and BibTeX of the method and of this package in the run's version."""
    plan, settings = run.plan, run.plan.settings
    version = json.loads(run.dataset.attrs["versions"]).get("infodiscard", "unknown")
    measures = " and ".join(f"{NAMES.get(name, METRICS[name].title)} ({METRICS[name].title})" for name in run.metrics)
    passes = ", ".join(f"{settings.max_passes[name]:,} passes for {METRICS[name].title}" for name in run.metrics)
    several = len(plan.samples) > 1
    sentence = (
        f"We measured {measures} [ma2019quantifying] of {', '.join(plan.networks)} at {len(plan.union())} "
        f"layer{'s' * (len(plan.union()) > 1)} on {len(plan.samples):,} input{'s' * several} of {plan.size} with "
        f"infodiscard {version} (α = {settings.alpha:g}, τ = {float(settings.tau):g}, σ per {settings.sigma}, "
        f"tolerance {settings.tolerance:g}, at most {passes}, seed {settings.seed})."
    )
    software = (
        "@software{infodiscard,\n"
        "  title   = {infodiscard: how much information about its input a neural network discards},\n"
        "  author  = {{The infodiscard authors}},\n"
        f"  version = {{{version}}}\n"
        "}"
    )
    return "\n\n".join([sentence, METHOD, software])
