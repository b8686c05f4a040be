"""Words of a run: a trained classifier, models of the hub, the page, the command line."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed")
import transformers
from scipy.stats import mannwhitneyu
from typer.testing import CliRunner

import language
from infodiscard import InfodiscardError, data, measure, open_run, zoo
from infodiscard.cli import app
from infodiscard.report import write_report
from infodiscard.report.colours import SHADES
from infodiscard.results.words import words_of
from unchanged import assert_same_state, state

FAST = {"max_passes": 256, "progress": False}
HOSTILE = "<img src=x onerror=alert(1)> river &amp; \"stone\" <script>alert('x')</script> \x1b[31m cloud"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The directory of a trained classifier with its tokenizer, and its accuracy."""
    model, accuracy = language.trained()
    return language.save(model, tmp_path_factory.mktemp("models") / "keys", language.tokenizer()), accuracy


@pytest.fixture
def untrained(tmp_path):
    """The directory of a model with random weights and its tokenizer."""
    return language.save(language.bert(), tmp_path / "random", language.tokenizer())


@pytest.fixture
def roomy(tmp_path):
    """The same for texts of up to 64 tokens."""
    return language.save(language.bert(max_position_embeddings=64), tmp_path / "roomy", language.tokenizer(64))


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="infodiscard")


# -- what a trained network discards ---------------------------------------------------------------------------------


def test_key_words_are_the_least_discarded_at_the_last_layer(classifier):
    """As Guan et al. (2019) found: the words that the answer rests on. At the first layer, no word is kept better."""
    folder, accuracy = classifier
    assert accuracy >= 0.95
    network = zoo.load(f"hf:{folder}")
    chosen = [line for line in language.sentences(60, seed=2)[0] if set(line.split()) & set(language.KEYS)][:12]
    before = state(network.module)
    texts = data.text(chosen, folder)
    tau = zoo.embedding_tau(network)
    run = measure(network, texts, ["hidden_states[0]", "output"], tau=tau, max_passes=800, progress=False)
    assert_same_state(before, state(network.module))
    words = run.words()
    words = words[words["word"] >= 0]
    share, p = {}, {}
    for layer, rows in words.groupby("layer", sort=False):
        key = rows["text"].isin(language.KEYS)
        found = mannwhitneyu(rows["sid"][key], rows["sid"][~key], alternative="less")
        # How often another word is discarded less than a key word: 0.5 if at random.
        share[layer], p[layer] = found.statistic / (key.sum() * (~key).sum()), found.pvalue
    assert key.sum() == 12 and (~key).sum() > 60
    assert share["output"] < 0.1 and p["output"] < 1e-5
    assert share["hidden_states[0]"] > share["output"] + 0.3 and p["hidden_states[0]"] > 0.05


# -- the run ---------------------------------------------------------------------------------------------------------


def test_padding_changes_no_token(untrained):
    lines = ["river splendid stone", "cloud", "table window garden paper bottle"]
    network = zoo.load(f"hf:{untrained}")
    options = FAST | {"layers": ["hidden_states[1]", "output"], "tau": 1e-4, "cap": 5.0}
    together = measure(network, data.text(lines, untrained), **options).dataset["sid_map"]
    for row, line in enumerate(lines):
        alone = measure(network, data.text([line], untrained), **options).dataset["sid_map"]
        length = alone.sizes["token"]
        np.testing.assert_allclose(together[0, :, row, :length], alone[0, :, 0], atol=1e-5)
        assert together[0, :, row, length:].isnull().all()


def test_the_words_are_in_the_run(roomy, tmp_path):
    network, texts = zoo.load(f"hf:{roomy}"), data.text(["splendid river", HOSTILE], roomy)
    options = FAST | {"layers": ["hidden_states[1]"], "tau": 1e-4, "out": tmp_path / "run"}
    words = measure(network, texts, **options).words()
    run = open_run(tmp_path / "run")
    assert run.plan.tokens == texts.tokens and run.plan.words == texts.words
    pd.testing.assert_frame_equal(run.words(), words)
    assert run.dataset["text"].dims == ("sample", "token") and "word" in run.dataset["sid_map"].coords
    values = run.dataset["sid_map"].values[0, 0, 0]
    first = words[words["sample"] == "1: splendid river"]
    assert first["text"].tolist() == ["[CLS]", "splendid", "river", "[SEP]"]
    assert first["tokens"].tolist() == [1, 2, 1, 1] and first["word"].tolist() == [-1, 0, 1, -1]
    np.testing.assert_allclose(first["sid"], [values[0], values[1:3].mean(), values[3], values[4]], rtol=1e-6)
    assert measure(network, texts, **options).complete
    with pytest.raises(InfodiscardError, match="different run"):
        measure(network, data.text(["splendid stone", HOSTILE], roomy), **options)
    with pytest.raises(InfodiscardError, match="not of texts"):
        words_of(measure(torch.nn.Identity(), torch.zeros(1, 2) + torch.arange(2), ["output"], **FAST).plan)


class Page(HTMLParser):
    """What a page shows: its tags, and every span with its attributes and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.spans, self._open = set(), [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "span":
            self._open = dict(attrs) | {"text": ""}
            self.spans.append(self._open)

    def handle_endtag(self, tag):
        self._open = None if tag == "span" else self._open

    def handle_data(self, data):
        if self._open is not None:
            self._open["text"] += data


def luminance(value):
    parts = np.array([int(value[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_page_shows_words_and_nothing_else(roomy, tmp_path):
    network, texts = zoo.load(f"hf:{roomy}"), data.text(["splendid river", HOSTILE, "stone"], roomy)
    layers = ["hidden_states[0]", "hidden_states[1]"]
    run = measure(network, texts, layers, tau=1e-4, **FAST)
    page = run.write_texts(tmp_path / "page.html").read_text(encoding="utf-8")
    shown = Page(page)
    assert not shown.tags & {"script", "img", "iframe", "link", "a", "svg", "object"} and "http" not in page
    words = [span for span in shown.spans if "title" in span]
    table = run.words().sort_values(["sample", "layer"], kind="stable")
    assert len(words) == len(table)
    assert [span["text"] for span in words] == table["text"].tolist()
    shades = dict(re.findall(r"\.(w\d+)\{--ground:(#\w{6});", page))
    inks = dict(re.findall(r"\.(w\d+)\{--ground:#\w{6};--ink:(#\w{6});", page))
    assert len(shades) == len(inks) == SHADES
    for span, sid in zip(words, table["sid"], strict=True):
        assert f": {sid:.2f} nats/token".replace("-", "−") in span["title"]
        name, *special = span["class"].split()
        span["luminance"] = luminance(shades[name])
        assert contrast(shades[name], inks[name]) >= 4.5
        assert (special == ["special"]) == (span["text"] in ("[CLS]", "[SEP]"))
    found = {sid: span["luminance"] for span, sid in zip(words, table["sid"], strict=True)}
    assert np.all(np.diff([found[sid] for sid in sorted(found)]) >= -1e-9)  # one scale; brighter is more
    assert len(set(found.values())) > 5
    assert "<h1>" in page and "&lt;" in page and "SID (nats/token), to the right more discarded" in page
    folder = write_report(run, tmp_path / "report").parent
    assert (folder / "texts.html").read_text(encoding="utf-8") == page
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "By word" in report and report.count("<script") == 2 and " style=" not in report  # its own and its data
    again = Page(report)
    assert "iframe" not in again.tags and [span for span in again.spans if "title" in span] == [
        {key: value for key, value in span.items() if key != "luminance"} for span in words
    ]
    with pytest.raises(InfodiscardError, match="in memory only"):
        run.write_texts()


# -- models ----------------------------------------------------------------------------------------------------------


def gpt2(kind, **change):
    with language.seeded():
        config = transformers.GPT2Config(
            vocab_size=256, n_positions=32, n_embd=16, n_layer=4, n_head=2, bos_token_id=0, eos_token_id=0, **change
        )
        return getattr(transformers, kind)(config).eval()


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (lambda: language.bert("BertModel"), ["hidden_states[1]", "hidden_states[2]"]),
        (lambda: language.bert("BertForMaskedLM"), ["hidden_states[1]", "hidden_states[2]", "output"]),
        (lambda: gpt2("GPT2LMHeadModel"), [*(f"hidden_states[{i}]" for i in range(1, 5)), "output"]),
        (lambda: gpt2("GPT2ForSequenceClassification"), [*(f"hidden_states[{i}]" for i in range(1, 5)), "output"]),
    ],
)
def test_models_come_back_as_they_were_saved(make, layers, tmp_path):
    model = make()
    network = zoo.load(f"hf:{language.save(model, tmp_path / 'net')}")
    assert type(network.module) is type(model) and not network.module.training
    assert network.default_layers == tuple(layers) and network.name == "net"
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.equal(network.module(ids)[0], model(ids)[0])
    assert network.module.dtype is torch.float32


@pytest.mark.filterwarnings("ignore:.*will not detect padding")
@pytest.mark.parametrize("kind", ["GPT2LMHeadModel", "GPT2ForSequenceClassification"])
def test_byte_level_models_are_measured(kind, tmp_path):
    folder = language.save(gpt2(kind), tmp_path / "net", language.byte_level())
    network, texts = zoo.load(f"hf:{folder}"), data.text(["né 🙂", "a bc"], folder)
    run = measure(network, texts, ["hidden_states[2]", "output"], tau=zoo.embedding_tau(network), **FAST)
    words = run.words()
    assert words["text"][words["layer"] == "output"].tolist() == ["né", "🙂", "a", "bc"] and words["sid"].notna().all()


def vit(folder):
    with language.seeded():
        keys = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
        config = transformers.ViTConfig(image_size=16, patch_size=8, **{key: language.SMALL[key] for key in keys})
        model = transformers.ViTForImageClassification(config).eval()
    transformers.ViTImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6]).save_pretrained(folder)
    return language.save(model, folder)


def test_image_models_are_image_networks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vit(tmp_path / "vit")
    network = zoo.load("hf:vit")
    assert network.mean == (0.1, 0.2, 0.3) and network.std == (0.4, 0.5, 0.6) and network.input_size == (16, 16)
    assert network.default_layers == ("hidden_states[1]", "hidden_states[2]", "output")
    layers = ("--layers", "hidden_states[1],output", "--max-passes", "256", "--samples", "2", "--no-progress")
    result = call("measure", "hf:vit", "--data", "demo", "--size", "16", *layers, "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert open_run("run").dataset["sid_map"].shape == (1, 2, 2, 16, 16)
    assert "3×16×16" in call("layers", "hf:vit").stdout
    Path("vit/preprocessor_config.json").unlink()
    assert "--mean" in call("measure", "hf:vit", "--data", "demo", *layers, "--out", "other").stderr


def config_of(change):
    """A change to the configuration that is saved in a directory."""
    import json

    def edit(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return edit


def without_a_weight(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def pickled(folder):
    (folder / "model.safetensors").unlink()
    torch.save(language.bert().state_dict(), folder / "pytorch_model.bin")


REMOTE = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (pickled, "has no model.safetensors; save there weights as safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be used"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be used"),
        (config_of({"model_type": "unheard"}), "cannot be used"),
        (config_of(REMOTE), "needs code of its own, which is not run"),
        (config_of({"is_encoder_decoder": True}), "is an encoder-decoder"),
        (config_of({"hidden_size": 64}), "cannot be used"),
        (without_a_weight, "lacks weights of its BertForSequenceClassification .classifier.weight.*--random-weights"),
    ],
)
def test_models_that_cannot_be_used(untrained, damage, said):
    damage(untrained)
    with pytest.raises(InfodiscardError, match=said) as caught:
        zoo.load(f"hf:{untrained}")
    assert "\n" not in str(caught.value)


def test_what_is_random_may_be_asked_for(untrained):
    without_a_weight(untrained)
    one, two = (zoo.load(f"hf:{untrained}", allow_random=True, seed=3).module for _ in range(2))
    assert torch.equal(one.classifier.weight, two.classifier.weight)


def test_without_the_library_or_the_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InfodiscardError, match=r"no such model can be fetched from the Hugging Face hub .*; connect"):
        zoo.load("hf:acme/never-made")
    with pytest.raises(InfodiscardError, match="There is no directory '/nowhere/at/all'"):
        zoo.load("hf:/nowhere/at/all")
    with pytest.raises(InfodiscardError, match="brings its own weights"):
        zoo.load("hf:acme/never-made", "w.safetensors")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[transformers\]'"):
        zoo.load("hf:acme/never-made")


# -- the command line ------------------------------------------------------------------------------------------------

QUICK = ("--max-passes", "256", "--no-progress")


def test_the_command_prints_layers_and_leaves_a_page(untrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(f"splendid river\nstone\n{'cloud ' * 30}\n", encoding="utf-8")
    words = ("measure", "hf:random", "--text", "t.txt", *QUICK, "--samples", "2", "--out", "run")
    result = call(*words)
    assert result.exit_code == 0, result.stderr
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith(("hidden_states", "output"))]
    assert rows == ["hidden_states[1]", "hidden_states[2]", "output"] and "nats/token" in result.stdout
    tau = float(re.search(r"τ is (\S+), 0.01 of the variance", result.stdout)[1])
    variance = language.bert().get_input_embeddings().weight.var().item()
    assert tau == pytest.approx(0.01 * variance, rel=1e-3) and open_run("run").plan.settings.tau == tau
    assert str(Path("run/texts.html")) in result.stdout and result.stderr == ""
    page = Path("run/texts.html").read_text(encoding="utf-8")
    Path("run/texts.html").unlink()
    assert call("report", "run").exit_code == 0 and Path("run/texts.html").read_text(encoding="utf-8") == page
    assert "reopened" in call(*words).stdout
    given = call("measure", "hf:random", "--text", "t.txt", *QUICK, "--truncate", "--tau", "0.001", "--out", "other")
    assert given.exit_code == 0 and "τ is" not in given.stdout and "1 of 3 texts are cut" in given.stderr
    assert open_run("other").plan.settings.tau == 0.001
    listed = call("layers", "hf:random").stdout
    assert "•  hidden_states[2]" in listed and "input 8 tokens" in listed


def test_two_models_share_their_texts(untrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    language.save(language.bert(seed=1), Path("second"), language.tokenizer())
    Path("t.txt").write_text("splendid river\n", encoding="utf-8")
    layers = ("--layers", "hidden_states[1]")
    result = call("measure", "hf:random", "hf:second", "--text", "t.txt", *layers, *QUICK, "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert open_run("run").words()["network"].tolist() == ["random"] * 4 + ["second"] * 4
    page = Path("run/texts.html").read_text(encoding="utf-8")
    assert "random hidden_states[1]" in page and "second hidden_states[1]" in page


@pytest.fixture
def place(tmp_path, untrained, monkeypatch):
    """A working directory with models and texts, good and bad."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    Path("good.txt").write_text("river stone\n", encoding="utf-8")
    Path("empty.txt").write_text("\n \n")
    Path("latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    Path("long.txt").write_text("river " * 40)
    Path("bare").mkdir()
    language.save(language.bert(), Path("mute"))
    vit(tmp_path / "vit")
    other = language.tokenizer()
    other.add_tokens(["river stone"])
    language.save(language.bert(seed=1), Path("other"), other)
    return tmp_path


BAD = {
    "no such directory": (["hf:nowhere", "--text", "good.txt"], "no directory 'nowhere'"),
    "no name": (["hf:", "--text", "good.txt"], "hf:"),
    "a file": (["hf:good.txt", "--text", "good.txt"], "is a file"),
    "a directory without a model": (["hf:bare", "--text", "good.txt"], "has no config.json"),
    "a model without a tokenizer": (["hf:mute", "--text", "good.txt"], "has no tokenizer.json"),
    "no such text": (["hf:random", "--text", "nowhere.txt"], "no file 'nowhere.txt'"),
    "an empty text": (["hf:random", "--text", "empty.txt"], "holds no text"),
    "a text in Latin-1": (["hf:random", "--text", "latin.txt"], "Line 1 of 'latin.txt' is not UTF-8"),
    "a long line": (["hf:random", "--text", "long.txt"], "Line 1 of 'long.txt' has 42 tokens.*--truncate"),
    "no samples": (["hf:random", "--text", "good.txt", "--samples", "0"], "1 or more"),
    "text for an image network": (["demo", "--text", "good.txt"], "takes images, not text"),
    "text for an image model": (["hf:vit", "--text", "good.txt"], "takes images, not text"),
    "images for a language model": (["hf:random", "--data", "demo"], "takes text, not images"),
    "both": (["hf:random", "--text", "good.txt", "--data", "demo"], "--data SPEC for images, or --text FILE"),
    "neither": (["hf:random"], "--data SPEC for images, or --text FILE"),
    "other tokens": (["hf:random", "hf:other", "--text", "good.txt"], "are not the same"),
    "RU": (["hf:random", "--text", "good.txt", "--metrics", "ru"], "RU is for images"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_texts_are_one_sentence(place, case):
    words, said = BAD[case]
    result = call("measure", *words, *QUICK, "--out", "run")
    assert result.exit_code == 2 and not Path("run").exists(), result.output
    last = result.stderr.splitlines()[-1]  # behind a note on the number of texts
    assert re.fullmatch(r"Error: .{20,}\.", last), result.stderr
    assert re.search(said, last), result.stderr
