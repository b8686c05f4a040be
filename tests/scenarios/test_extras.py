"""A library that is not installed is asked for by the extra that installs it, wherever it is used."""

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import infodiscard
from infodiscard import InfodiscardError, data, zoo
from infodiscard.analysis.attribution import grad_cam
from infodiscard.analysis.robustness import under_attack
from infodiscard.measurement.engines import find_engine
from infodiscard.training.runtime import require_lightning
from tiny import write_tiny

SOURCE = Path(infodiscard.__file__).parent
PROJECT = SOURCE.parents[1] / "pyproject.toml"


def attack(folder):
    network = zoo.load("zoo:resnet20,width=0.1", allow_random=True)
    under_attack(network, data.load(write_tiny(folder), 2), 0.01)


def parquet(folder):
    data.load(f"parquet:{folder}/*.parquet")


def callback(_folder):
    importlib.import_module("infodiscard.integrations.lightning")


def timm(_folder):
    zoo.load("timm:resnet18", allow_random=True)


def train(_folder):
    require_lightning()


def cam(_folder):
    grad_cam(torch.nn.Conv2d(3, 2, 3).eval(), "output", torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.long))


def transformers(folder):
    (folder / "config.json").write_text("{}")
    zoo.load(f"hf:{folder}", allow_random=True)


def mlflow(_folder):
    from infodiscard.integrations.mlflow import to_mlflow
    from synthetic import make_run

    to_mlflow(make_run(samples=2, size=4, layers=("a",)))


def ray(_folder):
    find_engine("ray")


# File → the library, the extra, and what leads there.
GUARDED = {
    "zoo/libraries.py": ("timm", "timm", timm),
    "training/runtime.py": ("lightning", "train", train),
    "integrations/lightning.py": ("lightning", "train", callback),
    "analysis/robustness.py": ("art", "studies", attack),
    "data/sources/parquet.py": ("pyarrow", "parquet", parquet),
    "analysis/attribution.py": ("captum", "captum", cam),
    "networks/hub.py": ("transformers", "transformers", transformers),
    "integrations/mlflow.py": ("mlflow", "mlflow", mlflow),
    "measurement/engines/ray.py": ("ray", "ray", ray),
}


@pytest.mark.parametrize("place", GUARDED)
def test_a_missing_library_is_asked_for_by_its_extra(place, tmp_path, monkeypatch):
    library, extra, use = GUARDED[place]
    for name in {library, *(name for name in sys.modules if name.startswith(f"{library}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "infodiscard.integrations.lightning", raising=False)
    with pytest.raises(InfodiscardError, match=rf"install it with pip install 'infodiscard\[{extra}\]'\."):
        use(tmp_path)


OPTIONAL = {
    "timm",
    "lightning",
    "art",
    "pyarrow",
    "captum",
    "quantus",
    "transformers",
    "ray",
    "s3fs",
    "mlflow",
    "tensorboard",
}


def imported(tree):
    """The optional libraries that are imported within a piece of code."""
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from OPTIONAL.intersection(name.partition(".")[0] for name in names)


def test_every_import_of_an_optional_library_is_guarded_and_tried():
    """But for those that are for types alone."""
    tried, free = {}, {}
    for path in SOURCE.rglob("*.py"):
        tree, place = ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(SOURCE))
        guards = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
        types = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ]
        behind = {name for node in guards for name in imported(node)}
        if behind:
            tried[place] = behind
        if unguarded := set(imported(tree)) - behind - {name for node in types for name in imported(node)}:
            free[place] = unguarded
    # Imported only to train, after `training.runtime.require_lightning`.
    assert free == {f"training/{name}.py": {"lightning"} for name in ("network_module", "decoder_module")}
    assert tried == {place: {library} for place, (library, _, _) in GUARDED.items()}, "give GUARDED a row for each"


@pytest.mark.skipif(not PROJECT.is_file(), reason="the package is installed without its project file")
def test_the_extras_that_are_named_exist():
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r"infodiscard\[([\w,]+)\]", path.read_text("utf-8"))
    }
    assert named and named <= extras.keys()
