"""Networks and data by their specs, in Python."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import infodiscard
from infodiscard import InfodiscardError, Network, zoo
from infodiscard.api.specs import SAMPLES, data_of, networks_of
from small_network import FAST, images, tiny


def test_specs_are_loaded_and_modules_get_their_usual_layers(tmp_path):
    named = networks_of(["demo", tiny(), Network(tiny(), "mine")])
    assert list(named) == ["resnet20", "Sequential", "mine"] and named["resnet20"].source == "demo"
    resnet = networks_of(torchvision.models.resnet18())["ResNet"]
    assert resnet.default_layers == ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc")
    assert networks_of({"a": "demo"})["a"].name == "a" and networks_of(None) is None
    with pytest.raises(InfodiscardError, match="Two networks are named 'resnet20'"):
        networks_of(["demo", "demo"])


def test_specs_of_data_give_the_first_images_in_the_networks_size(tmp_path):
    np.savez(tmp_path / "many.npz", images=np.zeros((20, 40, 50, 3), np.uint8))
    spec = f"npz:{tmp_path / 'many.npz'}"
    assert data_of(spec, networks_of("demo")).images.shape == (SAMPLES, 3, 32, 32)
    assert data_of(spec, networks_of(tiny())).images.shape == (SAMPLES, 3, 40, 50)
    tensor = images()
    assert data_of(tensor, {}) is tensor


def test_a_measurement_by_specs_is_the_one_of_what_they_name():
    by_spec = infodiscard.measure("demo", "demo", ["bn1"], tolerance=1, max_passes=96, progress=False)
    assert by_spec.plan.networks == ("resnet20",) and len(by_spec.plan.samples) == 12
    assert by_spec.plan.origin["network/resnet20"] == "demo" and by_spec.plan.origin["data"] == "demo"


def test_weights_may_stand_in_the_spec(tmp_path):
    from safetensors.torch import save_file

    save_file(zoo.load("demo").module.state_dict(), tmp_path / "r.safetensors")
    network = zoo.load(f"zoo:resnet20,weights={tmp_path / 'r.safetensors'}")
    assert (network.source, network.weights) == ("zoo:resnet20", "r.safetensors")
    for spec, weights, says in (("zoo:resnet20,weights=", None, "no weights"), ("demo,weights=a.pt", "b.pt", "apart")):
        with pytest.raises(InfodiscardError, match=says):
            zoo.load(spec, weights)


class Dead(nn.Sequential):
    """A network with a layer that is constant, and one of whole numbers."""

    def forward(self, x):
        x = self[0](x)
        y = self[1](x * 0)
        return self[2](x + y)


def test_what_cannot_be_measured_is_skipped_with_its_reason(capsys, tmp_path):
    torch.manual_seed(0)
    network = Dead(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3)).eval()
    run = infodiscard.measure({"net": network}, images(2), out=tmp_path / "run", **FAST | {"progress": True})
    assert run.plan.layers == {"net": ("0", "output")} and list(run.plan.skipped) == ["net/1"]
    assert "δ_f² = 0" in run.plan.skipped["net/1"] and "Skipped: layer 'net/1', as The layer" in capsys.readouterr().err
    assert infodiscard.open_run(tmp_path / "run").plan.skipped == run.plan.skipped
    assert "net/1 is not measured: The layer's output does not change" in str(run)
    with pytest.raises(InfodiscardError, match="Layer '1' of 'Dead' cannot be measured"):
        infodiscard.measure(network, images(2), ["1"], **FAST)


def test_no_verdict_passes_over_a_layer_that_one_side_lacks():
    torch.manual_seed(0)
    alive = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3)).eval()
    dead = Dead(*alive).eval()
    usual = {"data": images(2), "layers": ["0", "1"], **FAST}
    with pytest.raises(InfodiscardError, match="Layer '1' of 'candidate' cannot be measured"):
        infodiscard.check(alive, dead, **usual)
    with pytest.raises(InfodiscardError, match="Layer '1' of 'candidate' cannot be measured"):
        infodiscard.check(infodiscard.measure({"net": alive}, images(2), ["0", "1"], **FAST), dead, data=images(2))
