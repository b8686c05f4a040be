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
}
