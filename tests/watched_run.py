"""A run whose progress is recorded, without a network that is measured."""

from infodiscard.api.run import Run
from infodiscard.measurement.engines import Finished
from infodiscard.measurement.progress import Watch
from synthetic import make_plan, values_of

SMALL = {"layers": ("cheap", "dear"), "samples": 8, "size": 4, "block": 2}


def watched(path, units=None, error=None):
    """A run on disk of which so many units are written under watch, and which then ends, perhaps by an error."""
    plan = make_plan(**SMALL)
    with Run.resume_or_create(plan, path) as run, Watch(run, bar=False) as watch:
        for unit in run.pending()[:units]:
            run.write(unit, values_of(plan, unit))
            watch.record(Finished(unit, 0.5, 64, {plan.samples[unit.start]: "feature_not_finite"}, ""))
        if error is not None:
            raise error
