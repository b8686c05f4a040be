"""The pages: their code runs as it stands, block after block; what they quote exists; the site builds by itself."""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from textwrap import dedent

import matplotlib.pyplot
import pytest
from typer.testing import CliRunner

import infodiscard
from infodiscard import compare, data
from infodiscard.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NEEDS = {  # pages whose code is run, and what for
    "README": "torch",
    "index": "torch",
    "tutorial": "torch",
    "student": "torch",
    "engineer": "torch",
    "researcher": "skimage",
    "concepts": "torch",
    "faq": "torch",
    "captum": "captum",
    "quantus": "quantus",
    "lightning": "lightning.pytorch",
    "inputs": "transformers",
    "export": "mlflow",
    "pictures": "matplotlib",
    "gallery": "matplotlib",
    "text": "transformers",
    "tabular": "torch",
    "data": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
}
NOT_RUN = {  # pages whose code is not, and why
    "compression": "trains for hours",
    "limitations": "needs a quantised network",
    "decoders": "trains for hours",
    "report": "shows runs of yours",
    "robustness": "needs the CIFAR-10 test images",
    "scale": "needs a cluster",
    "training": "trains for hours",
}
QUIET = {"NO_MKDOCS_2_WARNING": "1"}  # a notice of the theme's
BLOCK = re.compile(
    r"^(?P<skip> *<!-- not run: [^>]+ -->\n)?"
    r' *```(?P<language>python|sh)(?: title="(?P<file>[^"]+)")?\n(?P<code>.*?)```',
    re.DOTALL | re.MULTILINE,
)


def page(name):
    return (ROOT if name == "README" else DOCS) / f"{name}.md"


# -- the code --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("name", NEEDS)
def test_the_code_of_the_page_runs(name, tmp_path, monkeypatch):
    """In an empty directory; a block below a comment `not run: why` is left out, one with a title goes to that file."""
    pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)  # where pages leave their files
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    text = page(name).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == len(re.findall(r"^ *```(?:python|sh|bash)", text, re.MULTILINE)) > 0
    names = {"__name__": f"docs_{name}"}
    for block in blocks:
        if not block["skip"]:
            _run(block, names, f"{name}.md", text.count("\n", 0, block.start("code")))
    matplotlib.pyplot.close("all")
    for module in list(sys.modules.values()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            monkeypatch.delitem(sys.modules, module.__name__, raising=False)
    _checks[name](names)


def test_every_page_with_code_is_run_or_says_why_not():
    pages = [path.stem for path in DOCS.glob("*.md") if "```python" in path.read_text(encoding="utf-8")]
    assert set(pages) <= NEEDS.keys() | NOT_RUN.keys()


def _run(block, names, path, line):
    code = dedent(block["code"])
    if block["file"]:
        with Path(block["file"]).open("a", encoding="utf-8") as file:
            file.write(code)
    elif block["language"] == "python":
        exec(compile("\n" * line + code, path, "exec"), names)
    else:
        for command in code.replace("\\\n", " ").splitlines():
            words = shlex.split(command, comments=True)
            assert not words or words[0] == "infodiscard", f"{path}: {command} cannot be run here"
            result = CliRunner().invoke(app, words[1:], prog_name="infodiscard") if words else None
            assert result is None or result.exit_code == 0, f"{path}: {command}\n{result.output}"


def _pass(names):
    """Nothing more to check."""


def _readme(names):
    assert Path("layers.png").exists() and Path("page.html").exists()
    assert list(names["table"]["layer"]) == ["layer1", "layer2"]


def _tutorial(names):
    found = compare({"carried": "runs/carried", "small": "runs/small"}).set_index("layer")["difference"]
    assert found[:3].abs().max() < 0.005 and found["layer2.0"] < -0.04
    assert abs(compare({"carried": "runs/carried", "fixed": "runs/fixed"})["difference"]).max() < 0.005
    assert Path("flaw.html").exists() and len(names["weights"].unique()) == 3


def _student(names):
    assert names["maps"].sizes["sample"] == 2 and len(names["run"].plan.layers["resnet20"]) == 2
    assert Path("runs/two/maps.png").exists()


def _engineer(names):
    assert names["gate"].passed and Path("runs/base/maps.png").exists()
    assert yaml_job()["jobs"]["check"]["steps"][-1]["with"]["path"] == "changes.csv"


def yaml_job():
    """The file for continuous integration, as the page has it."""
    import yaml

    return yaml.safe_load(page("engineer").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])


def _researcher(names):
    assert names["maps"].sizes == {"sample": 2, "y": 224, "x": 224} and Path("maps.pdf").exists()
    assert list(names["table"]["layer"]) == ["relu", "layer1"] and "224×224" in names["run"].cite()


def _concepts(names):
    assert names["means"]["mixed"] == pytest.approx(names["level"], abs=0.02)


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


def _data(names):
    box, xml = names["images"].masks, data.load("folder:pictures", size=224, annotations="voc").masks
    assert box.equal(xml) and box[0].float().mean() > 0.2
    objects = data.load("folder:pictures", size=224, annotations="objects.json")
    assert (objects.masks & box).equal(box) and not objects.masks[1].any() and len(objects.notes) == 1
    assert data.load("folder:pictures", size=224).masks.flatten(1).any(1).all()


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


def _gallery(names):
    shown = re.findall(r"images/(gallery-[a-z-]+\.png)", page("gallery").read_text(encoding="utf-8"))
    assert len(shown) == 12 and all(Path(name).stat().st_size > 5000 for name in shown)
    assert all((DOCS / "images" / name).exists() for name in shown) and names["three"].plan.networks[-1] == "untrained"


_checks = {
    "README": _readme,
    "index": _readme,
    "tutorial": _tutorial,
    "student": _student,
    "engineer": _engineer,
    "researcher": _researcher,
    "concepts": _concepts,
    "faq": _pass,
    "captum": _captum,
    "quantus": _quantus,
    "lightning": _lightning,
    "inputs": _inputs,
    "export": _export,
    "pictures": _pictures,
    "gallery": _gallery,
    "text": _text,
    "tabular": _tabular,
    "data": _data,
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}


# -- what pages quote ------------------------------------------------------------------------------------------------


def _template(node):
    """The text of an expression, with `…` for what is not known before it is run."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_template, node.values))
    return "…"


def _templates():
    """Every text in the code."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                yield _template(node)


def test_every_error_that_is_explained_exists():
    quotes = re.findall(r"^> (.+)$", page("errors").read_text(encoding="utf-8"), re.MULTILINE)
    written = "\n".join(re.sub("…+", "…", text) for text in _templates())
    missing = [quote for quote in quotes if quote.removesuffix("…").strip() not in written]
    assert len(quotes) > 25 and not missing


def test_every_command_and_option_is_listed():
    """The page is what its script writes: run `python docs/commands.py` when commands or options change."""
    spec = importlib.util.spec_from_file_location("commands", DOCS / "commands.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert page("commands").read_text(encoding="utf-8") == script.page()
    for name in re.findall(r"^## `infodiscard (\S+)`", script.page(), re.MULTILINE):
        section = script.page().split(f"## `infodiscard {name}`\n")[1].split("\n## ")[0]
        shown = CliRunner().invoke(app, [name, "--help"], prog_name="infodiscard", env={"COLUMNS": "200"}).output
        assert _options(shown) - {"--help"} <= _options(section), name


def _options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize("name", ["slurm.sbatch", "rayjob.yaml"])
def test_the_files_for_clusters_give_options_that_exist(name):
    text = (DOCS / "examples" / name).read_text(encoding="utf-8")
    command = re.search(r"infodiscard measure .+?--out \S+", text, re.DOTALL)[0]
    shown = CliRunner().invoke(app, ["measure", "--help"], prog_name="infodiscard", env={"COLUMNS": "200"}).output
    assert len(_options(command)) > 7 and _options(command) <= _options(shown)


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = re.findall(r"^(version|title|license): (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert dict(cited) == {"version": project["version"], "title": project["name"], "license": project["license"]}


def test_every_package_has_its_row_in_the_architecture():
    table = page("architecture").read_text(encoding="utf-8").split("## Packages")[1].split("## Rules")[0]
    names = [path.stem for path in (ROOT / "src/infodiscard").glob("*.py") if path.stem != "__init__"]
    names += [f"{path.parent.name}/" for path in (ROOT / "src/infodiscard").glob("*/__init__.py")]
    named = set(re.findall(r"`(\w+/?)`", table))
    assert set(names) <= named, set(names) - named


# -- the site --------------------------------------------------------------------------------------------------------


LOADING = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Links(HTMLParser):
    """What a page asks for when it is opened: everything but plain links."""

    def __init__(self, text):
        super().__init__()
        self.asked = re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", text)
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        canonical = tag == "link" and found.get("rel") in ("canonical", "next", "prev")
        if tag in LOADING and not canonical:
            self.asked.append(found.get(LOADING[tag]) or "")


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_for_nothing_elsewhere(tmp_path, monkeypatch):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | QUIET, timeout=300)
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {path.stem for path in DOCS.glob("*.md")} <= {path.stem for path in pages}
    reference = (tmp_path / "site/api.html").read_text(encoding="utf-8")
    assert set(infodiscard.__all__) <= set(re.findall(r'id="infodiscard\.(?:[a-z_]+\.)*(\w+)"', reference))
    sheets = list((tmp_path / "site").rglob("*.css"))
    asked = {url: path.name for path in pages + sheets for url in Links(path.read_text(encoding="utf-8")).asked}
    assert len(asked) > 20 and not [url for url in asked if re.match(r"(?:\w+:)?//", url)]
    for path in pages:
        for url in Links(path.read_text(encoding="utf-8")).asked:
            local = url.split("?")[0].split("#")[0]
            assert not local or local.startswith("data:") or path.name == "404.html" or (path.parent / local).exists()
