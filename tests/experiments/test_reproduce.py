"""What the studies are made of: data, sizes, rescaling, regions of an image, tables, and work that is done once."""

import copy
import dataclasses
import json
import re
import shutil
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image
from torch import nn
from torchvision.models import alexnet, vgg16, vgg19

from data_folder import write_cifar10, write_cub
from infodiscard import data, zoo
from infodiscard.api.run import Run
from infodiscard.core.metrics import corrected
from infodiscard.errors import InfodiscardError
from infodiscard.experiments import figures as curves
from infodiscard.experiments import presets as profile
from infodiscard.experiments.datasets import CUB_PAGE, CUB_TABLES, Places
from infodiscard.experiments.findings import Findings, layer_means, markdown, mean_of, table_row, write
from infodiscard.experiments.lab import Product, Workshop
from infodiscard.experiments.presets import CPU, PAPER, PROFILES, QUICK
from infodiscard.experiments.studies import coherency, compression, distillation, flaws, maps, networks
from infodiscard.experiments.verdicts import FEW, HOLDS, UNKNOWN, Claim
from infodiscard.measurement.prepare import LEAST_PASSES
from infodiscard.networks.network import Network
from infodiscard.networks.probe import list_layers
from infodiscard.training.decoder_progress import DecoderRecipe
from infodiscard.training.train_network import Recipe
from infodiscard.zoo.cifar_resnet import damage_positions
from infodiscard.zoo.spec import Spec
from synthetic import make_run, shared_run

ABOUT = {"profile": "quick", "command": "infodiscard reproduce x", "seconds": 1.4}


def said(action, *args):
    """What an action that cannot be done says, which is one sentence."""
    with pytest.raises(InfodiscardError) as error:
        action(*args)
    assert re.fullmatch(r"[^\n]{20,}[^.]\.", str(error.value)), error.value
    return str(error.value)


# -- places ----------------------------------------------------------------------------------------------------------


def shards(folder, split, total, missing=()):
    """Empty files named as the parts of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in set(range(total)) - set(missing):
        (folder / f"{split}-{i:05}-of-{total:05}.parquet").touch()


def test_without_a_folder_cifar10_is_downloaded_and_nothing_else_is_there(tmp_path):
    places = Places()
    assert places.cifar10("train") == places.cifar10("test") == "cifar10" and places.weights("resnet20") is None
    assert Places(tmp_path).cifar10("train") == "cifar10"
    words = said(places.cub)
    assert CUB_PAGE in words and "'CUB_200_2011'" in words and "--data-dir" in words
    words = said(Places(tmp_path).cub)
    assert CUB_PAGE in words and f"in '{tmp_path}'" in words


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        words = said(Places, place)
        assert str(place) in words and "--data-dir" in words


@pytest.mark.parametrize(("total", "missing"), [(4, [2]), (4, [0]), (4, [3]), (4, [1, 2, 3]), (2, [1])])
def test_a_missing_part_of_cifar10_is_named(tmp_path, total, missing):
    shards(tmp_path / "cifar10", "train", total, missing)
    shards(tmp_path / "cifar10", "test", 1)
    words = said(Places(tmp_path).cifar10, "train")
    assert f"{tmp_path}/cifar10/train-{missing[0]:05}-of-{total:05}.parquet'" in words
    assert "huggingface-cli download uoft-cs/cifar10" in words
    assert Places(tmp_path).cifar10("test") == f"parquet:{tmp_path}/cifar10/test-*.parquet"


def test_a_split_of_cifar10_without_any_file_is_named(tmp_path):
    shards(tmp_path / "cifar10", "train", 2)
    words = said(Places(tmp_path).cifar10, "test")
    assert f"'{tmp_path}/cifar10/test-*.parquet'" in words and "huggingface-cli download" in words
    (tmp_path / "cifar10" / "test-all.parquet").touch()  # which says nothing of other parts
    assert Places(tmp_path).cifar10("test").endswith("cifar10/test-*.parquet")


@pytest.mark.parametrize("name", ["data", "my [1] data*?"])
def test_data_sets_are_found_whatever_their_folder_is_called(tmp_path, name):
    root = tmp_path / name
    write_cifar10(root / "cifar10", 6, 4)
    write_cub(root / "cub-200", 2)
    (root / "CUB.tgz").touch()  # as it was downloaded
    places = Places(root)
    assert [len(data.load(places.cifar10(split))) for split in ("train", "test")] == [6, 4]
    birds = data.load(places.cub(), size=(8, 8))
    assert len(birds) == 10 and len(birds.classes) == 10
    (root / "weights").mkdir()
    assert places.weights("resnet20") is None
    (root / "weights" / "resnet20_cifar10.safetensors").touch()
    assert places.weights("resnet20") == root / "weights" / "resnet20_cifar10.safetensors"


def test_birds_that_were_not_unpacked_are_not_there(tmp_path):
    (tmp_path / "CUB_200_2011.tgz").touch()
    assert "fetch and unpack it" in said(Places(tmp_path).cub)


@pytest.mark.parametrize("table", CUB_TABLES)
def test_a_missing_table_of_the_birds_is_named(tmp_path, table):
    write_cub(tmp_path / "CUB_200_2011", 1)
    assert Places(tmp_path).cub() == f"cub:{tmp_path}/CUB_200_2011"
    path = tmp_path / "CUB_200_2011" / table
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = said(Places(tmp_path).cub)
    assert f"'{path}' is missing" in words and CUB_PAGE in words


# -- profiles --------------------------------------------------------------------------------------------------------


def test_profiles_are_found_by_name():
    assert [profile.find(name) for name in ("quick", "cpu", "paper")] == [QUICK, CPU, PAPER]
    words = said(profile.find, "papr")
    assert "'papr'" in words and "near it is 'paper'" in words and "quick, cpu, paper" in words


@pytest.mark.parametrize("size", PROFILES.values(), ids=PROFILES)
def test_a_profile_fits_together(size):
    kept = size.kept_epochs
    assert list(kept) == sorted(set(kept)) and kept[0] == 0 and kept[-1] == size.epochs
    assert list(size.depths) == sorted(set(size.depths)) and len(size.depths) >= 2
    assert set(size.autoencoders) <= set(size.depths), "auto-encoders are compared with classifiers of their depth"
    assert list(size.thresholds) == sorted(size.thresholds) and min(size.thresholds) > 0
    assert 1 <= size.ru_images <= size.images
    assert size.sid_passes >= LEAST_PASSES["sid"] and size.ru_passes >= LEAST_PASSES["ru"] and size.tolerance > 0
    assert size.test_samples is None or size.attacked <= size.test_samples
    if size is not QUICK:
        assert size.seeds >= FEW and size.images >= FEW, "otherwise nothing can be told"
    DecoderRecipe(**size.decoder)
    for name in ("alexnet", "vgg16", "vgg19", "resnet18", "resnet34"):
        spec = size.spec(name)
        assert Spec.parse(spec).name == name and Spec.parse(spec).number("width", 1) == size.width
        Recipe.usual(spec, "cifar10", epochs=size.plain_epochs, batch_size=size.batch_size, samples=size.samples)
    assert size.cub_library or Spec.parse(f"zoo:vgg16,{size.cub_network},classes=10").number("width", 1) > 0
    epochs = (size.epochs, size.plain_epochs, size.autoencoder_epochs, size.retrain_epochs, size.cub_epochs)
    assert min(epochs) >= 1


@pytest.mark.parametrize("size", PROFILES.values(), ids=PROFILES)
def test_damage_lies_where_the_study_of_flaws_can_look_about_it(size):
    depth, example = size.depths[0], torch.zeros(1, 3, 32, 32)
    last = (depth - 2) // 6 - 1
    shop = Workshop(Path("nowhere"), Places(), size)
    for place in size.damage:
        assert place in damage_positions(depth) and not place.endswith(f".{last}"), "a stage's end has another name"
        name = flaws.damaged_name(f"resnet{depth}", place)
        for spec, called in ((f"zoo:resnet{depth}", f"resnet{depth}"), (f"zoo:resnet{depth},damage={place}", name)):
            network = zoo.load(spec, name=called, allow_random=True)
            wanted = flaws.layers(shop, Product(called, network, Path(), None))
            order = [layer.name for layer in list_layers(network.module, example)]
            assert set(wanted) <= set(order) and len(set(wanted)) == len(wanted)
            assert {place, flaws._next(place, depth), *flaws._common(place)} <= set(wanted)
            assert (f"{place.partition('.')[0]}.damage" in wanted) == (called == name)
            assert order.index(place) < order.index(flaws._next(place, depth))


def poolings(module):
    return tuple(f"features.{i}" for i, part in enumerate(module.features) if isinstance(part, nn.MaxPool2d))


def test_layers_of_the_studies_are_the_ends_of_stages():
    own = {name: zoo.load(f"zoo:{name},width=0.05", allow_random=True).module for name in networks.PLAIN}
    assert {name: poolings(module) for name, module in own.items()} == networks.POOLINGS
    with torch.device("meta"):
        library = {"alexnet": alexnet(), "vgg16": vgg16(), "vgg19": vgg19()}
    assert {name: poolings(module) for name, module in library.items()} == networks.LIBRARY_POOLINGS
    assert networks.POOLINGS["vgg16"] == compression.LAYERS and set(compression.RU_LAYERS) < set(compression.LAYERS)
    assert networks.POOLINGS["alexnet"] == distillation.LAYERS[:-1]
    assert isinstance(own["alexnet"].get_submodule(distillation.LAYERS[-1]), nn.Linear)
    assert len(own["alexnet"].classifier) == 7  # whose last is the logits
    ends = [int(pooling.partition(".")[2]) for pooling in networks.POOLINGS["vgg16"]]
    assert [f"features.{end - 1}" for end in ends] == list(coherency.STAGES)
    assert f"features.{ends[-1]}" == coherency.CAM_LAYER and coherency.RU_LAYER in coherency.STAGES


# -- coherency -------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """As torchvision's VGG without batch normalisation, with in-place ReLUs and a dropout before the logits."""

    def __init__(self, *parts):
        super().__init__()
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(7 * 4, 9), nn.ReLU(True), nn.Dropout(), nn.Linear(9, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def convolutions():
    first, second, third = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 7, 3), nn.Conv2d(7, 7, 3, bias=False)
    return [first, nn.ReLU(True), second, nn.ReLU(True), nn.MaxPool2d(2), third, nn.ReLU(True)]


def wrapped(module, seed=0, dtype=torch.float64):
    """The network with random numbers in all places, also where batch normalisation begins with ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator)
                value.copy_(drawn * 0.3 if value.ndim > 1 else drawn.abs() + 0.5)
    return Network(module.to(dtype).eval(), "net", (0.5,) * 3, (0.25,) * 3, (32, 32))


def vgg(dtype=torch.float64):
    return wrapped(zoo.load("zoo:vgg16,width=0.1", allow_random=True).module, dtype=dtype)


RELUS = ["features.1", "features.3", "features.6"]


@pytest.mark.parametrize("factor", [4.0, 3.0])
@pytest.mark.parametrize(
    ("make", "layer"), [*((vgg, layer) for layer in coherency.STAGES), *((None, layer) for layer in RELUS)]
)
def test_rescaling_changes_the_feature_and_not_the_output(make, layer, factor):
    network = make() if make else wrapped(Plain(*convolutions()))
    before = copy.deepcopy(network.module.state_dict())
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    changed = coherency.rescaled(network, layer, factor)
    at = int(layer.partition(".")[2])
    with torch.no_grad():
        outputs = [each.module(images) for each in (network, changed)]
        up_to, changed_up_to = (each.module.features[: at + 1](images) for each in (network, changed))
        behind, changed_behind = (each.module.features(images) for each in (network, changed))
    assert outputs[0].std() > 1e-3 and up_to.any()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(changed_up_to, up_to / factor, rtol=1e-12, atol=1e-14)
    if factor == 4:  # a power of two, which rounds nothing
        assert torch.equal(changed_up_to, up_to / 4) and torch.equal(*outputs)
    if layer not in (RELUS[-1], coherency.STAGES[-1]):
        torch.testing.assert_close(changed_behind, behind, rtol=1e-11, atol=1e-11)
    assert changed.module is not network.module and changed.name == network.name and not changed.module.training
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    moved = [name for name, value in changed.module.state_dict().items() if not torch.equal(value, before[name])]
    second = next(
        name
        for name, part in network.module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) and (not name.startswith("features") or int(name[9:]) > at)
    )
    first = [name for name, _ in network.module.named_parameters() if name.startswith(f"features.{at - 1}.")]
    assert moved == [*first, f"{second}.weight"]


def test_rescaling_in_single_precision_is_exact_as_well():
    network, images = vgg(torch.float32), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for layer in coherency.STAGES:
            assert torch.equal(coherency.rescaled(network, layer).module(images), network.module(images))


def test_what_cannot_be_rescaled_is_refused():
    network = vgg()
    assert "'features.4' is a BatchNorm2d" in said(coherency.rescaled, network, "features.4")
    assert "'features.6' is a MaxPool2d" in said(coherency.rescaled, network, "features.6")
    for missing in ("features.99", "features.-1", "features", "features.x", "classifier.0", "layer1", ""):
        words = said(coherency.rescaled, network, missing)
        assert f"There is no '{missing}'" in words and "features.5" in words
    assert "There is no" in said(coherency.rescaled, zoo.load("demo"), "layer1.0.relu1")
    for parts, layer in (
        ([nn.ReLU(), *convolutions()], "features.0"),  # nothing before it
        ([nn.Conv2d(3, 7, 3), nn.MaxPool2d(2), nn.ReLU()], "features.2"),  # nothing to divide
        ([nn.Conv2d(3, 7, 3), nn.ReLU(), nn.BatchNorm2d(7), nn.Conv2d(7, 7, 3)], "features.1"),  # nothing to multiply
    ):
        assert f"'{layer}' does not lie between" in said(coherency.rescaled, wrapped(Plain(*parts)), layer)


# -- maps ------------------------------------------------------------------------------------------------------------


def patches(texture):
    """A grey image with a straight step above, and below noise or checks, and a flat patch of one colour."""
    image = torch.full((3, 48, 48), 0.5)
    image[:, 4:20, 12:20], image[:, 4:20, 20:28] = 0.1, 0.9
    y, x = torch.meshgrid(torch.arange(14), torch.arange(14), indexing="ij")
    noise = torch.rand(14, 14, generator=torch.Generator().manual_seed(0)).round()
    image[:, 28:42, 4:18] = noise if texture == "noise" else ((y // 2 + x // 2) % 2).float()
    image[:, 28:46, 34:46] = torch.tensor([0.9, 0.1, 0.2])[:, None, None]
    return image


@pytest.mark.parametrize("texture", ["noise", "checks"])
def test_regions_of_an_image_are_what_they_are_called(texture):
    masks = maps.region(patches(texture))
    assert list(masks) == ["edges", "textures", "colours"]
    assert all(mask.dtype == bool and mask.shape == (48, 48) for mask in masks.values())
    assert np.sum(list(masks.values()), axis=0).max() == 1, "no pixel is of two kinds"
    step, patch, red = (slice(8, 16), slice(19, 21)), (slice(30, 40), slice(6, 16)), (slice(32, 42), slice(38, 42))
    assert masks["edges"][step].all() and masks["colours"][red].all()
    assert masks["textures"][patch].mean() > 0.8
    grey = (slice(23, 25), slice(0, 48))
    assert not any(mask[grey].any() for mask in masks.values())


@pytest.mark.parametrize("turned", [False, True])
def test_a_step_alone_is_an_edge(turned):
    image = torch.zeros(3, 32, 32)
    image[..., 16:] = 1
    masks = maps.region(image.transpose(1, 2) if turned else image)
    edges = masks["edges"].T if turned else masks["edges"]
    assert edges[:, 15:17].all() and not edges[:, :12].any() and not edges[:, 20:].any()
    assert not masks["textures"].any() and not masks["colours"].any()


def test_a_flat_image_has_neither_edges_nor_textures():
    masks = maps.region(torch.full((3, 16, 16), 0.3))
    assert not any(mask.any() for mask in masks.values())


@pytest.mark.parametrize("seed", range(3))
def test_kinds_share_a_natural_image_as_the_notes_say(seed):
    images = data.load("demo").images
    masks = maps.region(images[seed])
    pixels = images[0, 0].numel()
    assert masks["edges"].sum() + masks["textures"].sum() == pixels // 4
    assert masks["edges"].sum() == masks["textures"].sum()
    assert 0 < masks["colours"].sum() <= pixels / 2


# -- findings --------------------------------------------------------------------------------------------------------


def product(name="resnet20", seed=1, accuracy=0.5):
    return Product(name, zoo.load("demo"), Path("w.safetensors"), accuracy, seed=seed)


def test_means_are_those_of_the_runs():
    sid, both = shared_run(samples=8, size=8, masks=True), shared_run(samples=8, size=8, metrics=("sid", "ru"), seed=1)
    table = layer_means(product(), sid, both, extra={"epoch": 3})
    assert (table[["network", "seed", "accuracy", "epoch"]] == ["resnet20", 1, 0.5, 3]).all(axis=None)
    assert set(table["measure"]) == {"sid", "concentration", "ru", "ru_floor"}
    layers = list(sid.plan.layers["resnet20"])
    for run, measures in ((sid, ("sid", "concentration")), (both, ("ru",))):
        summary = run.summary().set_index("layer")
        for measure in measures:
            rows = table[table["measure"] == measure].iloc[: len(layers)].set_index("layer")
            assert list(rows.index) == layers and list(rows["position"]) == list(range(len(layers)))
            value = corrected(measure) or measure
            np.testing.assert_allclose(rows["mean"], summary[value][layers], rtol=1e-5)
            np.testing.assert_allclose(rows["se"], summary[f"{value}_se"][layers], rtol=1e-4)
            np.testing.assert_allclose(rows["reached"], summary[measure][layers], rtol=1e-5)
            assert (rows["n"] == 8).all() and set(rows["basis"]) == {"corrected" if corrected(measure) else ""}
    warnings = table[table["measure"] == "sid"].set_index("layer")["warning"].iloc[: len(layers)]
    assert "not converged for 25%" in warnings["fc"] and not warnings["conv1"]
    assert not table.loc[table["measure"] == "ru_floor", "warning"].any()


def test_means_of_an_older_run_are_as_reached_and_labelled_so():
    run = make_run(samples=8, size=8, old=True)
    table = layer_means(product(), run)
    np.testing.assert_allclose(table["mean"], run.summary()["sid"], rtol=1e-5)
    assert set(table["basis"]) == {"reached"}
    drawn = [curves.panels(1) for _ in range(2)]
    curves.curves(drawn[0][1][0], table, "sid", ["resnet20"])
    curves.curves(drawn[1][1][0], layer_means(product(), shared_run(samples=8, size=8)), "sid", ["resnet20"])
    assert [ax[0].get_ylabel().startswith("SID reached") for _, ax in drawn] == [True, False]


def test_means_of_some_layers_only():
    run = shared_run(samples=8, size=8)
    every, some = layer_means(product(), run), layer_means(product(), run, layers=("fc", "layer1.0", "layer9"))
    assert list(some["layer"]) == ["layer1.0", "fc"] and list(some["position"]) == [0, 1]
    same = ["layer", "measure", "mean", "se", "n", "warning"]
    wanted = every[every["layer"].isin(["layer1.0", "fc"])][same].reset_index(drop=True)
    pd.testing.assert_frame_equal(some[same], wanted)


def test_a_single_image_has_a_mean_and_no_error():
    row = layer_means(product(), make_run(samples=1, size=4, layers=("conv1",))).iloc[0]
    assert row["n"] == 1 and np.isfinite(row["mean"]) and np.isnan(row["se"])


def test_the_mean_of_one_network_its_training_and_layers():
    run = shared_run(samples=8, size=8)
    other = shared_run(samples=8, size=8, shift=1.0)
    parts = [layer_means(product(seed=0), run), layer_means(product(seed=1), other)]
    parts += [layer_means(product("other", None), other)]
    table = pd.concat(parts, ignore_index=True)
    values = run.summary().set_index("layer")["sid_corrected"]
    assert mean_of(table, "resnet20", 0, "sid") == pytest.approx(values.mean(), abs=1e-6)
    assert mean_of(table, "resnet20", 1, "sid") == pytest.approx(values.mean() + 1, abs=1e-5)
    assert mean_of(table, "other", None, "sid") == pytest.approx(values.mean() + 1, abs=1e-5)
    some = mean_of(table, "resnet20", 0, "sid", ["fc", "conv1"])
    assert some == pytest.approx(values[["fc", "conv1"]].mean(), abs=1e-6)
    for absent in (("no", 0, "sid"), ("resnet20", 2, "sid"), ("resnet20", None, "sid"), ("resnet20", 0, "ru")):
        assert np.isnan(mean_of(table, *absent))
    assert np.isnan(mean_of(table, "resnet20", 0, "sid", ["layer9"]))


CLAIMS = (
    Claim("A holds.", HOLDS, "|a − b| of `x|y` and p(a|b) is +0.100"),
    Claim("An odd ` tick and *stars*.", UNKNOWN, "first\nsecond line, 95 % 0 … 1"),
    Claim("A | B", "does not hold", "\\| was there"),
)


def findings(claims=CLAIMS):
    run = shared_run(samples=3, size=4)
    figure, axes = curves.panels(1)
    table = layer_means(product(), run)
    curves.curves(axes[0], table, "sid", ["resnet20"])
    return Findings("study", "is it so?", claims, table, {"first": figure, "second": figure}, ("Note 1.", "Note 2."))


def cells(page):
    """The text of every row of the tables in a page, by a parser of its own."""
    html = MarkdownIt("commonmark").enable("table").render(page)
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    return [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row, re.S)] for row in rows]


def test_the_page_has_every_claim_whatever_is_in_its_words():
    head, *rows = cells(markdown(findings(), ABOUT))
    assert head == ["claim", "here", "statistic"]
    assert [row[1] for row in rows] == [claim.verdict for claim in CLAIMS] and all(len(row) == 3 for row in rows)
    assert rows[0][2] == "|a − b| of x|y and p(a|b) is +0.100"
    assert rows[1][0] == "An odd ` tick and stars." and rows[1][2] == "first second line, 95 % 0 … 1"
    assert rows[2][0] == "A | B" and rows[2][2].endswith("| was there")
    assert cells(f"{table_row('a|b', 'c')}\n|---|---|\n{table_row('`|`', '|')}") == [["a|b", "c"], ["|", "|"]]


def test_a_study_is_written_whole(tmp_path):
    found = findings()
    page = write(found, tmp_path / "new" / "study", ABOUT)
    assert page == tmp_path / "new" / "study" / "result.md"
    names = {"table.csv", "result.json", "result.md", "first.svg", "first.png", "second.svg", "second.png"}
    assert {path.name for path in page.parent.iterdir()} == names
    table = pd.read_csv(page.with_name("table.csv"))
    np.testing.assert_allclose(table["mean"], found.table["mean"], rtol=1e-4)
    assert list(table) == list(found.table)
    result = json.loads(page.with_name("result.json").read_text())
    assert [Claim(**claim) for claim in result["claims"]] == list(CLAIMS) and result["notes"] == ["Note 1.", "Note 2."]
    assert result["seconds"] == 1.4 and {"infodiscard", "torch", "python"} <= set(result["versions"])
    text = page.read_text()
    assert "![first](first.png)" in text and "- Note 2." in text and "`infodiscard reproduce x`, 1 s." in text
    for name in ("first", "second"):
        assert ElementTree.parse(page.with_name(f"{name}.svg")).getroot().tag.endswith("svg")
        with Image.open(page.with_name(f"{name}.png")) as picture:
            assert min(picture.size) > 100
    before = page.with_name("first.svg").read_bytes()
    write(findings(), page.parent, ABOUT)  # drawn anew, over the old one, and without the time of day in its pictures
    assert len(page.with_name("first.svg").read_bytes()) == len(before)


def test_a_study_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in said(write, findings(), tmp_path / "file", ABOUT)


# -- workshop --------------------------------------------------------------------------------------------------------

LAYERS = ("features.2", "features.5")


@pytest.fixture
def shop(tmp_path):
    """A workshop for the smallest networks."""
    write_cifar10(tmp_path / "data" / "cifar10", 40, 20)
    write_cub(tmp_path / "data" / "CUB_200_2011")
    size = dataclasses.replace(QUICK, samples=32, images=2, decoder={"samples": 8, "epochs": 1, "width": 2})
    return Workshop(tmp_path / "out", Places(tmp_path / "data"), size)


def state(folder):
    """Every file with the time that it was written at."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


@pytest.fixture
def idle(monkeypatch):
    """Returns a function after whose call nothing can be trained or measured any more."""

    def refuse(*_args, **_options):
        raise AssertionError("this was done before")

    def stop():
        monkeypatch.setattr("lightning.pytorch.Trainer.fit", refuse)
        monkeypatch.setattr("infodiscard.measurement.prepared_network.Job.measured", refuse)

    return stop


@pytest.mark.slow
def test_nothing_is_trained_or_measured_twice(shop, idle):
    def work(shop):
        made = shop.train_plain("alexnet", 1, "narrow", keep_epochs=(0, 1))
        birds = shop.birds("test", 2)
        seen = shop.train_on_birds("alexnet")
        return made, shop.sid(made, LAYERS), shop.ru(made, LAYERS[1:]), seen, shop.sid(seen, LAYERS[:1], birds)

    first = work(shop)
    before = state(shop.out)
    idle()
    again = work(Workshop(shop.out, shop.places, shop.profile))  # as another process would
    assert state(shop.out) == before
    for one, other in zip(first, again, strict=True):
        if isinstance(one, Run):
            pd.testing.assert_frame_equal(one.to_dataframe(), other.to_dataframe())
        else:
            assert dataclasses.replace(one, network=None) == dataclasses.replace(other, network=None)
            weights = other.network.module.state_dict()
            assert all(torch.equal(value, weights[key]) for key, value in one.network.module.state_dict().items())
    made, sid, ru, seen, birds = first
    assert (made.name, made.seed, seen.name, seen.seed) == ("narrow", 1, "alexnet on birds", 0)
    assert made.weights.parent == shop.out / "networks" / "narrow-seed1" and 0 <= made.accuracy <= 1
    assert {"epoch-000.safetensors", "epoch-001.safetensors"} < {path.name for path in made.weights.parent.iterdir()}
    assert sid.plan.networks == ("narrow",) and sid.plan.samples == ru.plan.samples + sid.plan.samples[1:]
    assert birds.plan.height == 32 and birds.to_dataframe()["concentration"].notna().all()


@pytest.mark.slow
def test_a_run_with_more_layers_serves_for_fewer(shop, idle, monkeypatch):
    made = shop.train_plain("alexnet")
    (shop.out / "runs" / "alexnet-seed0-sid-[features.12]").mkdir(parents=True)  # as a kill leaves it at its start
    both = shop.sid(made, LAYERS)
    with monkeypatch.context() as still:
        still.setattr("infodiscard.measurement.prepared_network.Job.measured", None)
        for layer in LAYERS:
            assert shop.sid(made, [layer]).path == both.path
        assert shop.sid(made, LAYERS[::-1]).plan.layers == {"alexnet": LAYERS}
    other = shop.sid(made, [LAYERS[0], "features.12"])
    assert other.path.parent == both.path.parent and other.path != both.path
    mine, theirs = (run.to_dataframe().query("layer == 'features.2'").reset_index(drop=True) for run in (both, other))
    pd.testing.assert_frame_equal(mine, theirs)
    assert shop.sid(made, ["features.12"]).path == other.path
    namesake = dataclasses.replace(made, name="alexnet-seed0")  # whose runs' names begin alike
    assert shop.sid(namesake, LAYERS[:1]).path != both.path


def test_birds_are_spread_over_the_classes_and_have_boxes(shop):
    some = shop.birds("test", 5)
    every = shop.birds("test", None)
    assert some.labels.tolist() == [0, 2, 4, 7, 9] and len(every) == 30 and len(every.classes) == 10
    assert len(set(some.names)) == 5 and set(some.names) < set(every.names)
    for i, name in enumerate(some.names):
        at = every.names.index(name)
        assert torch.equal(some.images[i], every.images[at]) and torch.equal(some.masks[i], every.masks[at])
    # Boxes of 20 × 20 pixels in crops of 30 × 30 about their middle.
    whole = shop.birds("train", 10, None)
    assert whole.images.shape == (10, 3, 30, 30) and whole.labels.tolist() == list(range(10))
    assert (whole.masks.sum((1, 2)) == 400).all() and whole.masks[:, 5:25, 5:25].all()
    assert some.masks.float().mean() == pytest.approx(4 / 9, abs=0.03)
    assert len(shop.birds("test", 99)) == 30 and len(shop.birds("test", 30)) == 30
    one = shop.birds("test", 1)
    assert len(one) == 1 and torch.equal(one.images[0], every.images[0]) and len(one.classes) == 10


def test_given_weights_are_used_where_they_are(shop, monkeypatch):
    assert shop.given("resnet20") is None and networks.given(shop) == []
    folder = shop.places.root / "weights"
    folder.mkdir()
    weights = files("infodiscard").joinpath("demo", "resnet20_cifar10.safetensors").read_bytes()
    (folder / "resnet20_cifar10.safetensors").write_bytes(weights)
    given = shop.given("resnet20")
    assert (given.name, given.seed) == ("resnet20 (given)", None) and given.network.name == given.name
    assert 0 <= given.accuracy <= 1 and round(given.accuracy * 20) == pytest.approx(given.accuracy * 20)
    assert [each.name for each in networks.given(shop)] == [given.name]
    monkeypatch.setattr(Workshop, "train", None)
    assert maps.network(shop).name == given.name, "which is better trained than one from here"
    run = shop.sid(given, ["layer1"])
    assert run.plan.networks == (given.name,) and shop.sid(given, ["layer1"]).path == run.path
    assert np.isfinite(mean_of(layer_means(given, run), given.name, None, "sid"))


def test_measured_images_are_the_first_of_the_test_set(shop):
    assert shop.images.names == shop.test_images(2).names == ("test0.png", "test1.png")
    assert shop.images is shop.images and len(shop.test_images(7)) == 7
