"""The code of the pages about other libraries and other inputs runs as it stands, block after block."""

import re
from pathlib import Path

import matplotlib.pyplot
import pytest

DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {
    "captum": "captum",
    "quantus": "quantus",
    "lightning": "lightning.pytorch",
    "inputs": "transformers",
    "export": "mlflow",
    "pictures": "matplotlib",
    "text": "transformers",
    "tabular": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
}


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("page", NEEDS)
def test_the_code_of_the_page_runs(page, tmp_path, monkeypatch):
    pytest.importorskip(NEEDS[page])
    monkeypatch.chdir(tmp_path)  # where pages leave their files
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = [(match.start(), match[1]) for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL)]
    assert blocks
    names = {"__name__": f"docs_{page}"}
    for start, code in blocks:
        line = text.count("\n", 0, start) + 1
        exec(compile("\n" * line + code, f"docs/{page}.md", "exec"), names)
    matplotlib.pyplot.close("all")
    _checks[page](names)


def _captum(names):
    assert names["discarded"].shape == names["inputs"].shape and (names["used"] >= 0).all()
    assert names["steps"].shape == names["series"].shape and Path("methods.png").exists()
    assert names["sensitivity"] > 0 and Path("gradient.png").exists() and Path("what layer3 uses.png").exists()


def _quantus(names):
    assert set(names["scores"]["SID"]) == {"randomisation", "sparseness"}


def _lightning(names):
    assert list(names["callback"].runs) == [0, 1, 2] and names["curves"].shape == (3, 2)
    assert next(Path("logs").rglob("metrics.csv")).read_text().count("\n") == 4


def _inputs(names):
    found = names["run"].dataset["sid_map"]
    assert found.shape == (1, 3, 2, 4) and found[0, :, 1].isnull().sum("layer").values.tolist() == [0, 0, 0, 3]


def _text(names):
    words = names["words"]
    key = words["text"].isin(names["keys"])
    means = words.groupby(["layer", key], sort=False)["sid"].mean().unstack()
    assert list(means.index) == ["hidden_states[1]", "hidden_states[2]", "output"] and key.sum() == 18
    assert means[True]["output"] < means[False]["output"] - 1
    assert Path("runs/reviews/texts.html").exists()


def _tabular(names):
    means = names["discarded"].mean("sample").to_pandas()
    assert means.loc["4"].iloc[3:].min() > means.loc["4"].iloc[:3].max() + 0.5
    assert Path("columns.png").exists()


def _torchvision(names):
    assert list(names["table"]["layer"]) == ["features.0", "features.3", "features.8"]
    assert len(names["blocks"].plan.layers["small ViT"]) == 4 and Path("maps.png").exists()


def _timm(names):
    assert names["network"].default_layers == ("stages.0", "stages.1", "stages.2", "stages.3", "head.fc")
    assert list(names["table"]["layer"]) == ["stages.0", "stages.2"] and Path("maps.png").exists()
    assert names["blocks"].plan.layers["test_vit"] == names["vit"].default_layers[:-1]


def _transformers(names):
    usual = (*(f"hidden_states[{number}]" for number in (1, 2, 3, 4)), "output")
    assert names["network"].default_layers == names["vit"]().default_layers == usual
    assert set(usual) <= {layer.name for layer in names["layers"]} and list(names["table"]["layer"])[-1] == "output"
    assert Path("maps.png").exists()


def _export(names):
    assert [path.name for path in names["folders"]] == ["resnet20"] and any(names["folders"][0].iterdir())
    assert len(names["numbers"]) == 1 and Path("store").is_dir()


def _pictures(names):
    assert names["left"].get_ylabel().startswith("SID") and names["right"].get_ylabel().startswith("concentration")
    assert all(Path(name).stat().st_size > 1000 for name in ("layers.pdf", "column.pdf", "maps.pdf", "both.svg"))


_checks = {
    "captum": _captum,
    "quantus": _quantus,
    "lightning": _lightning,
    "inputs": _inputs,
    "export": _export,
    "pictures": _pictures,
    "text": _text,
    "tabular": _tabular,
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}
