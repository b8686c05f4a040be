"""Settings: their checks, how a run stores them, and the roles of their fields."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from infodiscard.core.metrics import METRICS
from infodiscard.core.settings import Settings
from infodiscard.errors import InfodiscardError
from infodiscard.measurement.execution import Execution
from infodiscard.solver.effort import MIN_PASSES


def test_the_fewest_passes_are_those_that_the_solver_needs():
    assert METRICS["sid"].least_passes == MIN_PASSES


def test_what_is_not_given_has_its_default():
    assert Settings.of() == Settings() == Settings.of(max_passes=None, noise_on=None, metrics="sid", tau="paper")
    assert Settings().max_passes == {"sid": 5000}


def test_values_are_converted_to_exact_types():
    settings = Settings.of(metrics=["ru", "sid"], tau="code", max_passes={"ru": 300})
    assert settings.metrics == ("sid", "ru") and settings.tau == 1e-4
    assert settings.max_passes == {"sid": 5000, "ru": 300}
    assert Settings.of(metrics=["ru", "sid"], max_passes=700).max_passes == {"sid": 700, "ru": 700}
    # One dict may serve for several measurements.
    assert Settings.of(metrics="ru", max_passes={"sid": 700, "ru": 300}).max_passes == {"ru": 300}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metrics": []}, "what can be measured is sid, ru"),
        ({"metrics": "entropy"}, r"metrics was \['entropy'\]"),
        ({"alpha": "1.5"}, "alpha was '1.5'; it must be a positive number"),
        ({"tau": "published"}, "tau was 'published'; give a variance, 'paper'"),
        ({"tolerance": float("nan")}, "tolerance was nan"),
        (
            {"max_passes": {"sdi": 700}},
            "max_passes names 'sdi', which is not a metric; what can be measured is sid, ru",
        ),
        ({"max_passes": "many"}, "max_passes was 'many'; it must be a whole number"),
        ({"max_passes": 0}, "max_passes was 0; a measurement of SID needs at least 96"),
        ({"metrics": "ru", "max_passes": 255}, "a measurement of RU needs at least 256"),
        ({"seed": True}, "seed was True; it must be a whole number"),
        ({"metrics": None}, r"metrics was \[None\]; what can be measured"),
        ({"metrics": ["sid", 1]}, r"metrics was \['sid', 1\]; what can be measured"),
        ({"alpha": True}, "alpha was True; it must be a positive number"),
        ({"alpha": np.float32("inf")}, "alpha was inf; it must be a positive number"),
        ({"tau": np.bool_(True)}, "tau was True; it must be a positive number"),
        ({"tau": torch.ones(2)}, r"tau was tensor\(\[1., 1.\]\); it must be a positive number"),
        ({"tolerance": None}, "tolerance was None; it must be"),
        ({"max_passes": 300.5}, "max_passes was 300.5; it must be a whole number"),
        ({"max_passes": {"sid": True}}, "max_passes was True; it must be a whole number"),
        ({"seed": "3"}, "seed was '3'; it must be a whole number"),
        ({"seed": 1.5}, "seed was 1.5; it must be a whole number"),
        ({"cap": True}, "cap was True; it must be 'range', 'data' or a positive number"),
        ({"cap": {"net": -1}}, "cap was -1; it must be 'range', 'data' or a positive number"),
        ({"start": None}, "start was None; it can be"),
        ({"precision": 16}, "precision was 16; it can be"),
        ({"start": "warm"}, "start was 'warm'; it can be 'uniform' or 'before'"),
        ({"start": "before", "metrics": "ru"}, "'before', which is for SID"),
        ({"precision": "fp8"}, "precision was 'fp8'; it can be 'full' or 'bf16'"),
    ],
)
def test_what_is_not_allowed_gets_a_sentence(given, says):
    with pytest.raises(InfodiscardError, match=says):
        Settings.of(**given)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("alpha", np.float32(1.5), 1.5),
        ("alpha", Fraction(3, 2), 1.5),
        ("tau", torch.tensor(0.25, requires_grad=True), 0.25),
        ("tau", np.array(0.25), 0.25),
        ("tolerance", np.float64(0.5), 0.5),
        ("seed", np.int64(3), 3),
        ("seed", torch.tensor(3), 3),
        ("seed", 3.0, 3),
        ("max_passes", np.int64(300), {"sid": 300}),
        ("max_passes", 1e3, {"sid": 1000}),
        ("max_passes", {"sid": torch.tensor(300)}, {"sid": 300}),
        ("cap", np.float32(2), 2.0),
        ("cap", {"net": torch.tensor(2.0)}, {"net": 2.0}),
    ],
)
def test_scalars_of_libraries_become_numbers_of_python(name, value, expected):
    found = getattr(Settings.of(**{name: value}), name)
    assert found == expected and type(found) is type(expected)
    json.loads(Settings.of(**{name: value}).to_json())


def test_a_run_stores_them_as_it_always_did():
    settings = Settings(metrics=("sid", "ru"), max_passes={"sid": 96, "ru": 256}, cap={"demo": 44.5}, noise_on="x")
    assert settings.stored() == {
        **{
            "metrics": ["sid", "ru"],
            "alpha": 1.5,
            "tau": 0.01,
            "sigma": "pixel",
            "noise_on": "x",
            "cap": {"demo": 44.5},
        },
        **{"seed": 0, "tolerance": 0.02, "start": "uniform", "precision": "full"},
        **{"max_passes": 96, "ru_max_passes": 256},
    }
    assert Settings.from_json(settings.to_json()) == settings
    only = Settings(metrics=("ru",))
    assert "max_passes" not in only.stored() and "noise_on" not in only.stored()
    assert Settings.from_json(only.to_json()) == only


def test_what_an_older_run_lacks_has_its_default():
    old = {"metrics": ["sid"], "alpha": 2.0, "tau": 0.01, "grid": 4}
    assert Settings.from_json(json.dumps(old)) == Settings(alpha=2.0)


def test_fields_are_named_by_their_roles():
    assert Settings.names("quantity") == ("alpha", "tau", "sigma")
    assert Settings.names("limit", "noise") == ("cap", "seed")
    assert Settings.names("search") == ("tolerance", "max_passes", "start", "precision")
    assert Execution.names("run") == ("engine", "log", "progress", "budget", "callback")
    assert not set(Settings.names()) & set(Execution.names())
    settings = Settings(cap={"a": 1.0, "b": 2.0})
    assert (settings.of_network("cap", "b"), settings.of_network("alpha", "b")) == (2.0, 1.5)
