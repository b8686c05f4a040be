"""The main job on tiny networks (plumbing), on the carried network and, where they are, on trained ones."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from closed_forms import identity_entropy
from infodiscard import InfodiscardError, Network, data, measure, open_run, zoo
from infodiscard.api.run import Run
from infodiscard.results.store import holds_run
from infodiscard.solver.effort import MIN_PASSES
from small_network import FAST, images, tiny
from unchanged import assert_same_state, state

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the trained CIFAR-10 ResNets, which are not here")


def test_run_holds_what_it_promises():
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[:, 2:5, 3:6] = True
    run = measure({"a": tiny(0), "b": tiny(1)}, images(), layers=["0", "2", "output"], masks=masks, **FAST)
    dataset = run.dataset
    assert dataset["sid_map"].dims == ("network", "layer", "sample", "y", "x")
    assert dataset["sid"].attrs["units"] == "nats/pixel"
    assert dataset["sigma"].shape == (2, 3, 3, 8, 8)
    assert np.allclose(dataset["sid"], dataset["sid_map"].mean(("y", "x")), atol=1e-5)
    assert np.allclose(dataset["sid_map"], np.log(dataset["sigma"]) + 1.4189385, atol=1e-5)
    maps, inside = dataset["sid_map"].values, masks.numpy()
    slow = [[[m[~i].mean() - m[i].mean() for m, i in zip(layer, inside, strict=True)] for layer in n] for n in maps]
    assert np.allclose(dataset["concentration"], slow, atol=1e-5)
    assert (dataset["passes"] <= 256).all() and (dataset["passes"] > 0).all()
    assert (abs(dataset["feature_distance"] / 1.5 - 1) < 0.15).all()
    assert (dataset["feature_distance_se"] > 0).all()
    for name in ("converged", "gap", "capped_share"):
        assert name in dataset
    missing = dataset["correction_map"]
    assert missing.dims == dataset["sid_map"].dims and (dataset["correction_se_map"] > 0).all()
    assert (dataset["sid_corrected_se"] > 0).all() and (dataset["concentration_corrected_se"] > 0).all()
    assert (abs(dataset["sid_corrected"] - dataset["sid"]) < 1).all()
    slow = [[[m[~i].mean() - m[i].mean() for m, i in zip(layer, inside, strict=True)] for layer in n]
            for n in missing.values]  # fmt: skip
    assert np.allclose(dataset["concentration_corrected"], dataset["concentration"] + slow, atol=2e-3)
    assert list(run.to_dataframe()["network"].unique()) == ["a", "b"]
    assert run.plan.settings.alpha == 1.5 and run.plan.settings.cap["a"] == "range"
    assert len(run.plan.hashes["weights/a"]) == 64 and run.plan.hashes["weights/a"] != run.plan.hashes["weights/b"]


def test_results_do_not_depend_on_the_other_samples_layers_networks_or_the_block():
    whole = measure({"a": tiny(0), "b": tiny(1)}, images(3), layers=["0", "2", "4"], block=2, **FAST)
    single = measure({"b": tiny(1)}, images(3)[2:], layers=["2"], **FAST)
    expected = whole.dataset["sid_map"].sel(network="b", layer="2").values[2]
    assert np.allclose(single.dataset["sid_map"].values[0, 0, 0], expected, atol=1e-4)


def test_global_random_state_is_left_alone_and_the_seed_decides():
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first = measure(tiny(), images(1), layers=["2"], **FAST)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()
    again = measure(tiny(), images(1), layers=["2"], **FAST)
    other = measure(tiny(), images(1), layers=["2"], seed=1, **FAST)
    assert first.dataset["sid"].item() == again.dataset["sid"].item() != other.dataset["sid"].item()


class Broken(nn.Module):
    """Fails after a while, as a network may."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.calls = tiny(), count()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if next(self.calls) > 20:
            raise RuntimeError("out of luck")
        return self.body(x)


def test_network_is_left_untouched():
    model = tiny()
    model[0].weight.requires_grad_(False)
    before = state(model)
    measure(model, images(1), layers=["**"], **FAST)
    assert_same_state(before, state(model))
    broken = Broken().eval()
    before = state(broken)
    with pytest.raises(InfodiscardError, match="out of luck"):
        measure(broken, images(1), layers=["body.2"], **FAST)
    assert_same_state(before, state(broken))


def test_works_where_gradients_are_switched_off():
    expected = measure(tiny(), images(1), layers=["2"], **FAST).dataset["sid"].item()
    model, inputs = tiny(), images(1)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert measure(model, inputs, layers=["2"], **FAST).dataset["sid"].item() == expected


def test_half_precision_network_is_measured_in_float32():
    run = measure(tiny().bfloat16(), images(1), layers=["2"], **FAST)
    exact = measure(tiny(), images(1), layers=["2"], **FAST)
    assert run.dataset["sid"].dtype == np.float32
    assert run.dataset["sid"].item() == pytest.approx(exact.dataset["sid"].item(), abs=0.1)


def test_normalisation_of_a_network_is_applied_before_the_noise():
    """With std 0.1, √τ = 0.1 in the input space is a tenth of a grey level: σ is measured in the input space."""
    network = Network(nn.Sequential(nn.Identity()), "identity", (0.5,) * 3, (0.1,) * 3)
    run = measure(network, images(1), layers=["0"], **FAST)
    assert run.dataset["sid"].item() == pytest.approx(identity_entropy(1.5, 0.01), abs=0.03)
    assert run.plan.settings.cap["identity"] == pytest.approx(100)


def test_tau_presets_and_sigma_spaces():
    assert measure(tiny(), images(1), layers=["0"], tau="code", **FAST).plan.settings.tau == 1e-4
    assert measure(tiny(), images(1), layers=["0"], tau="paper", **FAST).plan.settings.tau == 0.01
    unit = measure(tiny(), images(1), layers=["0"], sigma="unit", **FAST)
    assert unit.dataset["sigma"].dims[-3:] == ("channel", "y", "x")
    grid = measure(tiny(), images(1), layers=["0"], sigma="grid:4", **FAST).dataset["sigma"].values[0, 0, 0]
    assert (grid[::2, ::2] == grid[1::2, 1::2]).all() and len(np.unique(grid)) == 16


@pytest.mark.parametrize("sigma", ["pixel", "unit", "grid:4"])
def test_a_search_may_start_at_the_layer_before(sigma, tmp_path):
    """The first layer is as ever; the next begins elsewhere and ends at the same optimum, also after a kill."""
    options = {"layers": ["0", "4"], "sigma": sigma, "progress": False, "tolerance": 0.01}
    cold, warm = (measure(tiny(), images(2), start=start, **options) for start in ("uniform", "before"))
    assert np.array_equal(cold.dataset["sid"][:, 0], warm.dataset["sid"][:, 0])
    assert not np.array_equal(cold.dataset["sid"][:, 1], warm.dataset["sid"][:, 1])
    assert np.allclose(cold.dataset["sid"], warm.dataset["sid"], atol=0.03)

    stopped = Run.create(warm.plan, tmp_path / "run")
    with stopped:
        unit = stopped.pending()[0]
        names = [
            name for name, item in warm.dataset.data_vars.items() if item.dims[:3] == ("network", "layer", "sample")
        ]
        stopped.write(unit, {n: warm.dataset[n].values[0, 0, unit.start : unit.stop] for n in names if n != "done"})
    resumed = measure(tiny(), images(2), start="before", out=tmp_path / "run", **options)
    assert np.array_equal(resumed.dataset["sid"], warm.dataset["sid"])


def test_autocast_changes_values_by_less_than_their_error():
    exact, rough = (
        measure(tiny(), images(2), layers=["2", "4"], precision=p, progress=False) for p in ("full", "bf16")
    )
    assert rough.dataset["sid"].dtype == np.float32
    assert not np.array_equal(exact.dataset["sid"], rough.dataset["sid"])
    assert np.allclose(exact.dataset["sid"], rough.dataset["sid"], atol=0.03)


def test_map_style_data_sets_and_arrays():
    dataset = torch.utils.data.TensorDataset(images(2), torch.tensor([1, 0]))
    run = measure(tiny(), dataset, layers=["0"], **FAST)
    assert run.plan.labels == (1, 0)
    same = measure(tiny(), images(2).numpy(), layers=["0"], **FAST)
    assert np.array_equal(run.dataset["sid"], same.dataset["sid"])


# -- bad input: one sentence, nothing written ---------------------------------------------------------------


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class Mixing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0)


BAD = [
    ({"layers": ["layr2"]}, "nearest"),
    ({"layers": ["conv*"]}, "No layer of .* matches 'conv\\*'"),
    ({"data": images() * float("nan")}, "Image 0 holds NaN"),
    ({"data": images()[0]}, "shape \\(3, 8, 8\\)"),
    ({"data": torch.zeros(2, 1, 8, 8)}, "does not take an input of shape"),
    ({"data": (images() * 255).to(torch.uint8)}, "integers"),
    ({"data": "cifar"}, "There is no data set 'cifar'"),
    ({"networks": tiny().train()}, "training mode"),
    ({"networks": nn.Sequential(Noisy()), "layers": ["0"]}, "random"),
    ({"networks": nn.Sequential(Mixing()), "layers": ["0"]}, "other inputs of its batch"),
    ({"networks": nn.Sequential(nn.Hardtanh(5, 6)), "layers": ["0"]}, "δ_f² = 0"),
    ({"networks": "resnet20"}, "There is no network 'resnet20'"),
    ({"metrics": ["entropy"]}, "metrics was"),
    ({"alpha": -1}, "alpha was -1"),
    ({"tau": "published"}, "tau was 'published'"),
    ({"tau": float("inf")}, "tau was inf"),
    ({"sigma": "grid:9"}, "sigma was 'grid:9'"),
    ({"seed": 0.5}, "seed was 0.5"),
    ({"cap": "big"}, "cap was 'big'"),
    ({"max_passes": 10}, "needs at least"),
    ({"metrics": ["ru"]}, "no decoder for layer"),
    ({"batch_size": 0}, "batch_size was 0"),
    ({"start": "warm"}, "start was 'warm'; it can be 'uniform' or 'before'"),
    ({"precision": "fp8"}, "precision was 'fp8'"),
    ({"device": "quantum"}, "Device 'quantum'"),
    ({"masks": torch.zeros(3, 5)}, "masks have shape"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_told_before_anything_is_written(change, words, tmp_path):
    given = {"networks": tiny(), "data": images(), "layers": ["2"], "out": tmp_path / "run", "progress": False} | change
    with pytest.raises(InfodiscardError, match=words) as caught:
        measure(given.pop("networks"), given.pop("data"), **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_out_that_holds_a_different_run_is_not_touched(tmp_path):
    measure(tiny(), images(), layers=["0"], out=tmp_path / "run", **FAST)
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}
    for change in ({"seed": 1}, {"alpha": 2.0}, {"layers": ["2"]}):
        with pytest.raises(InfodiscardError, match="different run"):
            measure(tiny(), images(), **({"layers": ["0"], "out": tmp_path / "run"} | FAST | change))
    with pytest.raises(InfodiscardError, match="different run"):
        measure(tiny(seed=1), images(), layers=["0"], out=tmp_path / "run", **FAST)
    assert before == {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}


# -- interruption ---------------------------------------------------------------

JOB = """
import sys; sys.path[:0] = {tests!r}
from test_measure import measure, tiny, images
options = dict(block=1, max_passes=1500, tolerance=1e-4, progress=False)
measure(tiny(), images(6), layers=["0", "2", "4"], out={out!r}, **options)
"""


def same_weights(activation=nn.ReLU, stride=1, **attributes):
    """A small network whose weights are the same whatever its arguments are."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), activation(), nn.Conv2d(4, 8, 3, stride=stride)).eval()
    for name, value in attributes.items():
        setattr(network[0], name, value)
    return network


def hooked():
    network = same_weights()
    network[1].register_forward_hook(lambda module, args, output: output + 0.1)
    return network


class Scaled(nn.Sequential):
    """A network with a buffer that its state does not hold."""

    def __init__(self, scale):
        super().__init__(*same_weights())
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, x):
        return super().forward(x * self.scale)


OTHERS = {
    "activation": (same_weights, lambda: same_weights(nn.Tanh)),
    "slope": (lambda: same_weights(nn.LeakyReLU), lambda: same_weights(lambda: nn.LeakyReLU(0.3))),
    "stride": (same_weights, lambda: same_weights(stride=3)),
    "attribute": (same_weights, lambda: same_weights(padding=(1, 1))),
    "hook": (same_weights, hooked),
    "buffer": (lambda: Scaled(1.0), lambda: Scaled(2.0)),
    "mean": (lambda: Network(same_weights(), "n", (0.5,) * 3, (1.0,) * 3),
             lambda: Network(same_weights(), "n", (0.4,) * 3, (1.0,) * 3)),
    "std": (lambda: Network(same_weights(), "n", (0.5,) * 3, (0.25,) * 3),
            lambda: Network(same_weights(), "n", (0.5,) * 3, (0.25, 0.25, 0.26))),
    "no normalisation": (lambda: Network(same_weights(), "n", (0.0,) * 3, (1.0,) * 3),
                         lambda: Network(same_weights(), "n")),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_another_network_of_the_same_weights_is_not_taken_for_the_one_measured(case, tmp_path):
    first, second = (make() for make in OTHERS[case])
    options = {"layers": ["2"], "out": tmp_path / "run"} | FAST
    run = measure({"n": first}, images(), **options)
    with pytest.raises(InfodiscardError, match=r"holds a different run: .*(features|normalisation) of .*give another"):
        measure({"n": second}, images(), **options)
    again = measure({"n": OTHERS[case][0]()}, images(), batch_size=2, block=1, **options)
    assert again.created == run.created and np.array_equal(again.dataset["sid"], run.dataset["sid"])


def test_a_run_that_knows_no_features_is_continued(tmp_path):
    """As those of earlier versions."""
    options = {"layers": ["2"], "out": tmp_path / "run"} | FAST
    run = measure({"n": same_weights()}, images(), **options)
    place = tmp_path / "run/run.zarr/zarr.json"
    stored = json.loads(place.read_text())
    plan = json.loads(stored["attributes"]["plan"])
    assert plan.pop("fingerprints") and plan.pop("normalisation") == {"n": "none"}
    stored["attributes"]["plan"] = json.dumps(plan)
    place.write_text(json.dumps(stored))
    assert measure({"n": same_weights()}, images(), **options).created == run.created


@pytest.mark.slow
def test_a_killed_run_is_continued_to_the_same_result(tmp_path):
    arguments = {"layers": ["0", "2", "4"], "block": 1, "max_passes": 1500, "tolerance": 1e-4, "progress": False}
    out = tmp_path / "run"
    code = JOB.format(tests=[str(Path(__file__).parent), str(Path(__file__).parents[1])], out=str(out))
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and child.poll() is None:
            if holds_run(out) and len(open_run(out).pending()) <= 15:
                break
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = len(open_run(out).pending())
    assert 0 < left <= 15, "the child finished, or never got going: nothing was interrupted"
    finished = {p: p.stat().st_mtime_ns for p in (out / "run.zarr" / "sid").rglob("*") if p.is_file()}
    run = measure(tiny(), images(6), out=out, **arguments)
    whole = measure(tiny(), images(6), **arguments)
    assert run.complete
    for name in ("sid_map", "feature_distance", "passes", "gap"):
        assert np.allclose(run.dataset[name], whole.dataset[name], atol=1e-4), name
    kept = sum(p.stat().st_mtime_ns == t for p, t in finished.items() if p.name not in ("zarr.json",))
    assert kept >= 18 - left  # finished units were not computed again


# -- trained networks ---------------------------------------------------------------


def test_carried_network_discards_more_in_deeper_stages():
    run = measure(zoo.load("demo"), data.load("demo").take(4), layers=["bn1", "layer1", "layer2"], progress=False)
    means = run.dataset["sid"].mean("sample").values[0]
    assert (np.diff(means) > 0.05).all()
    assert run.dataset["converged"].all()
    assert (abs(run.dataset["feature_distance"] / 1.5 - 1) <= 0.05).all()
    assert (run.dataset["passes"] <= 640).all()


@needs_shared
def test_coherency_of_a_trained_network():
    """Weights of one convolution divided by 4 and of the next multiplied by 4 (ReLU between): no value changes."""
    network = zoo.load("zoo:resnet20", SHARED / "weights" / "resnet20_cifar10.safetensors")
    sample = data.load(f"parquet:{SHARED / 'cifar10' / 'test-*.parquet'}", 1)
    options = {"layers": ["layer2.1.bn1", "layer2"], "max_passes": 400, "progress": False}
    before = measure(network, sample, **options).dataset
    block = network.module.layer2[1]
    with torch.no_grad():
        block.bn1.weight /= 4
        block.bn1.bias /= 4
        block.conv2.weight *= 4
    after = measure(network, sample, **options).dataset
    assert np.allclose(before["sid_map"], after["sid_map"], atol=1e-4)
    assert np.allclose(before["feature_distance"], after["feature_distance"], rtol=1e-4)


@needs_shared
def test_published_weights_behave_as_the_method_says():
    network = zoo.load("zoo:resnet20", SHARED / "weights" / "resnet20_cifar10.safetensors")
    sample = data.load(f"parquet:{SHARED / 'cifar10' / 'test-*.parquet'}", 2)
    run = measure(
        network, sample, layers=["layer1", "layer2", "layer3"], tolerance=0.03, max_passes=700, progress=False
    )
    means = run.dataset["sid"].mean("sample").values[0]
    assert (np.diff(means) > 0.05).all()
    assert run.dataset["converged"].sel(layer=["layer1", "layer2"]).all()
    errors = run.dataset["sid_corrected_se"]
    assert (errors.sel(layer="layer3") > errors.sel(layer=["layer1", "layer2"])).all()  # deeper is less well known


# -- reconstruction uncertainty ----------------------------------------------------------------------------------------

RU = {"metrics": ["sid", "ru"], "layers": ["layer1", "layer3"], "max_passes": 256, "progress": False}


def test_both_metrics_of_the_carried_network():
    pictures = data.load("demo", 2)
    run = measure(zoo.load("demo"), pictures, **RU)
    values = run.dataset.isel(network=0)
    assert run.metrics == ("sid", "ru")
    assert (values["ru"] > values["ru_floor"]).all()
    np.testing.assert_allclose(values["ru_feature_distance"], 1.5, rtol=0.15)
    np.testing.assert_allclose(values["ru"], values["ru_map"].mean(("y", "x")), atol=1e-5)
    np.testing.assert_allclose(values["ru_floor"], values["ru_floor_map"].mean(("y", "x")), atol=1e-5)
    assert values["ru_concentration"].notnull().all() and (values["ru_gap"] > 0).all()
    assert (values["ru_passes"] <= 256).all() and (values["ru_sigma"] >= 0).all()
    missed = (values["reconstruction"] - torch_to_array(pictures.images)) ** 2
    early, late = missed.mean(("sample", "channel", "y", "x")).values
    assert early < 0.003 < late < 0.05  # in images between 0 and 1
    assert "decoder/resnet20/layer1" in run.plan.hashes


def torch_to_array(pictures: torch.Tensor):
    import xarray as xr

    return xr.DataArray(pictures.numpy(), dims=("sample", "channel", "y", "x"))


def test_ru_of_a_sample_does_not_depend_on_its_block_or_batch():
    """Not at all on its block; on the batch size within the reported gap, since a rounding may take another path."""
    options = RU | {"metrics": ["ru"], "layers": ["layer2"]}
    together = measure(zoo.load("demo"), data.load("demo", 2), block=2, **options).dataset
    apart = measure(zoo.load("demo"), data.load("demo", 2), block=1, **options).dataset
    np.testing.assert_allclose(together["ru"], apart["ru"], atol=1e-6)
    np.testing.assert_allclose(together["ru_sigma"], apart["ru_sigma"], atol=1e-6)
    small = measure(zoo.load("demo"), data.load("demo", 1), batch_size=3, **options).dataset
    assert abs(small["ru"] - together["ru"][..., :1]).item() < together["ru_gap"][..., 0].item()


def test_ru_leaves_the_network_as_it_was_and_takes_doubles():
    network = zoo.load("demo")
    before = state(network.module)
    options = RU | {"metrics": "ru", "layers": ["layer1"]}
    single = measure(network, data.load("demo", 1), **options)
    assert_same_state(before, state(network.module))
    assert np.isfinite(single.dataset["ru"].values).all()


def test_a_layer_without_decoder_is_told_with_the_command_that_trains_one(tmp_path):
    network = zoo.load("demo")
    with pytest.raises(InfodiscardError, match=r"no decoder for layer 'layer1\.0'.*train-decoder demo --layers 'lay"):
        measure(network, data.load("demo", 1), **RU | {"layers": ["layer1", "layer1.0"], "out": tmp_path / "run"})
    with torch.no_grad():
        next(network.module.parameters()).mul_(2)
    # With other weights it is another network, which the carried decoders have nothing to do with.
    with pytest.raises(InfodiscardError, match=rf"'layer1' of this network in '{tmp_path}'; .* --decoders {tmp_path}"):
        measure(network, data.load("demo", 1), **RU | {"out": tmp_path / "run", "decoders": tmp_path})
    assert not (tmp_path / "run").exists()


def test_passes_by_metric():
    run = measure(zoo.load("demo"), data.load("demo", 1), **RU | {"layers": ["bn1"], "max_passes": {"ru": 300}})
    assert run.plan.settings.max_passes["sid"] == 5000 and run.plan.settings.max_passes["ru"] == 300
    with pytest.raises(InfodiscardError, match=f"max_passes was 20; a measurement of SID needs at least {MIN_PASSES}"):
        measure(tiny(), images(), layers=["0"], max_passes={"sid": 20})
    with pytest.raises(InfodiscardError, match="max_passes was 255; a measurement of RU needs at least 256"):
        measure(zoo.load("demo"), data.load("demo", 1), **RU | {"max_passes": {"ru": 255}})
    least = measure(tiny(), images(1), layers=["0"], max_passes=MIN_PASSES, progress=False).dataset
    assert least["passes"].item() <= MIN_PASSES and np.isfinite(least["sid"]).all()
    with pytest.raises(InfodiscardError, match="'before', which is for SID"):
        measure(tiny(), images(), layers=["0"], metrics=["ru"], start="before")
