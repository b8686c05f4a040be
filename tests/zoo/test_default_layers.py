"""The usual layers of the architectures that are known."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
import torch
from torch import nn
from torchvision import models
from typer.testing import CliRunner

from infodiscard import list_layers, measure, open_run, zoo
from infodiscard.cli import app
from infodiscard.zoo.default_layers import MANY, default_layers
from probing import seeded
from tiny import write_tiny


def made(name):
    """A network of torchvision without values, which takes no time."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.filterwarnings("ignore", message="The default weight initialization", category=FutureWarning)
        return models.get_model(name)


@pytest.mark.parametrize("name", [name for name in models.list_models(module=models) if "regnet" not in name])
def test_every_classifier_of_torchvision_has_usual_layers(name):
    """They are modules, each once; the last makes the logits."""
    module = made(name)
    modules = dict(module.named_modules()) | {"output": module}
    layers = default_layers(module)
    assert 4 <= len(layers) <= MANY and set(layers) <= modules.keys() and len(set(layers)) == len(layers)
    logits = module if layers[-1] == "output" else modules[layers[-1]]
    assert logits is module or logits.out_features == 1000
    assert layers[-1] != "output" or name.startswith("squeezenet")


@pytest.mark.parametrize("name", ["regnet_x_400mf", "regnet_y_400mf"])  # they cannot be made without values
def test_regnets_have_usual_layers(name):
    module = seeded(models.get_model, name, weights=None)
    assert default_layers(module) == ("stem", *(f"trunk_output.block{i}" for i in (1, 2, 3, 4)), "fc")


@pytest.mark.parametrize(
    ("name", "size"), [("mobilenet_v2", 64), ("mobilenet_v3_large", 64), ("efficientnet_b0", 64), ("densenet121", 64)]
)
def test_a_stage_ends_where_the_resolution_is_about_to_halve(name, size):
    """All resolutions are there, each with its last layer of those that are in one line."""
    module = zoo.load(f"torchvision:{name},size={size}", allow_random=True).module
    listed = {layer.name: layer.shape for layer in list_layers(module, torch.zeros(1, 3, size, size))}
    usual = [layer for layer in default_layers(module) if len(listed[layer]) == 3]
    assert {listed[layer][1] for layer in usual} >= {size // 4, size // 8, size // 16, size // 32}
    trunk = [name for name in listed if name.startswith("features.") and name.count(".") == 1]
    for layer in usual[1:]:
        later = [listed[name][1] for name in trunk[trunk.index(layer) + 1 :]]
        assert all(size < listed[layer][1] for size in later) or name.startswith("densenet")


def test_quarters_of_any_depth():
    for name, depth in (("vit_b_32", 12), ("vit_l_32", 24), ("vit_h_14", 32)):
        quarters = [f"encoder.layers.encoder_layer_{depth * i // 4 - 1}" for i in (1, 2, 3, 4)]
        assert default_layers(made(name)) == (*quarters, "heads.head")
    shallow = seeded(models.VisionTransformer, 16, 8, num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=8)
    assert default_layers(shallow) == ("encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1", "heads.head")


# ---- timm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", ("act1", "layer1", "layer2", "layer3", "layer4", "fc")),
        ("vit_large_patch16_224", ("blocks.5", "blocks.11", "blocks.17", "blocks.23", "head")),
        ("convnext_atto", ("stages.0", "stages.1", "stages.2", "stages.3", "head.fc")),
        ("tresnet_m", ("body.layer1", "body.layer2", "body.layer3", "body.layer4", "head.fc")),  # the first has no name
        ("efficientformer_l1", ("stages.0", "stages.1", "stages.2", "stages.3", "output")),  # two heads
        ("coat_lite_tiny", ("head",)),  # its features are lists of modules, which are not called
    ],
)
def test_networks_of_timm_say_which_layers_are_usual(name, expected):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        assert default_layers(timm.create_model(name)) == expected


def test_timm_without_a_classifier():
    timm = pytest.importorskip("timm")
    assert default_layers(timm.create_model("test_resnet", num_classes=0))[-1] == "output"
    assert default_layers(timm.create_model("test_resnet", features_only=True))[1:] == (
        "layer1", "layer2", "layer3", "layer4", "output"
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_usual_layers_of_every_family_of_timm_are_called_once():
    timm = pytest.importorskip("timm")
    for family in timm.list_modules():
        with torch.device("meta"):
            module = timm.create_model(timm.list_models(module=family)[0]).eval()
        # Four say nothing that is a module of theirs.
        assert len(default_layers(module)) >= 4 or family in ("coat", "gemma4_vit", "mvitv2", "twins"), family
        layers = [name for name in default_layers(module) if name != "output"]
        calls = Counter()
        for name in layers:
            module.get_submodule(name).register_forward_hook(lambda *_, name=name, calls=calls: calls.update([name]))
        with torch.no_grad():
            module(torch.zeros(2, *module.pretrained_cfg["input_size"], device="meta"))
        assert calls == dict.fromkeys(layers, 1), family


# ---- transformers ---------------------------------------------------------------------------------------------------


def test_transformers_have_hidden_states_at_quarters_of_their_depth():
    transformers = pytest.importorskip("transformers")
    small = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.BertConfig(num_hidden_layers=12, **small)
    states = tuple(f"hidden_states[{i}]" for i in (3, 6, 9, 12))
    assert default_layers(transformers.BertModel(config)) == states
    assert default_layers(transformers.BertForSequenceClassification(config)) == (*states, "output")
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=3, n_head=1))
    assert default_layers(gpt2) == (*(f"hidden_states[{i}]" for i in (1, 2, 3)), "output")
    both = transformers.T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1)
    assert default_layers(transformers.T5Model(both)) == ()  # it has two kinds of hidden states


def test_what_is_not_known_has_none():
    assert default_layers(nn.Linear(2, 2)) == ()


# ---- without --layers -----------------------------------------------------------------------------------------------


def test_measure_takes_the_usual_layers(tmp_path):
    """From Python and from the command line."""
    network = zoo.load("torchvision:squeezenet1_1,size=33", allow_random=True)
    images = torch.rand(1, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    run = measure(network, images, max_passes=256, tolerance=5.0, progress=False)
    assert run.plan.layers["squeezenet1_1,size=33"] == network.default_layers == (
        "features.2", "features.5", "features.8", "features", "output"
    )  # fmt: skip
    options = ["--random-weights", "--max-passes", "256", "--tolerance", "5", "--samples", "1", "--no-progress"]
    words = ["measure", "torchvision:shufflenet_v2_x0_5,size=32", "--data", write_tiny(tmp_path), *options]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    (layers,) = open_run(tmp_path / "run").plan.layers.values()
    assert layers == ("maxpool", "stage2", "stage3", "stage4", "conv5", "fc")


def test_layers_of_plain_networks_are_their_poolings_and_logits() -> None:
    class VGG(nn.Sequential): ...

    plain = VGG(
        nn.Conv2d(3, 3, 3), nn.MaxPool2d(2), nn.Conv2d(3, 3, 3), nn.MaxPool2d(2), nn.Linear(2, 2), nn.Linear(2, 2)
    )
    assert default_layers(plain) == ("1", "3", "5")
    assert default_layers(nn.Linear(2, 2)) == ()
