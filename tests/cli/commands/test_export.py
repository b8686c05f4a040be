"""The command that exports a run."""

from shell import refused


def test_nowhere_to_export_to_is_refused(place):
    assert "--tensorboard DIR or --mlflow URI" in refused(place, "export", "run")
