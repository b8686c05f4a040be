"""The decoder's shapes and independence, and the cache that decoders are found in."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from infodiscard.decoders import cache as decoders
from infodiscard.decoders.architecture import BLOCKS, Decoder, Enlarging, Layout, ResidualBlock, grid_sizes
from infodiscard.decoders.cache import default_folder, file_of, find, load, save, training_key, write
from infodiscard.errors import InfodiscardError

RGB32 = (3, 32, 32)
ABOUT = {
    "layer": "layer1",
    "weights_hash": "ab" * 32,
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "quality": {"mse": 0.25, "psnr": 20.0},
    "held_out": "4 images of 'npz:x.npz'",
    "recipe": {"width": 2, "half": False},
    "data_hash": "cd" * 32,
}


def make(feature_shape, input_shape=RGB32, width=2, seed=0):
    """A decoder whose blocks do something, as those of a trained one."""
    torch.manual_seed(seed)
    decoder = Decoder(feature_shape, input_shape, width)
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.2)
    return decoder.eval()


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Layouts and sizes


@pytest.mark.parametrize(
    ("feature", "size", "layout"),
    [
        ((16, 32, 32), RGB32, Layout("map", 16, (32, 32))),
        ((8, 8, 8), RGB32, Layout("map", 8, (8, 8))),
        ((64, 7, 10), (3, 224, 320), Layout("map", 64, (7, 10))),
        ((4, 1, 32), RGB32, Layout("map", 4, (1, 32))),
        ((56, 56, 96), (3, 224, 224), Layout("channels-last", 96, (56, 56))),
        ((7, 10, 64), (3, 224, 320), Layout("channels-last", 64, (7, 10))),
        ((4, 4, 6), RGB32, Layout("channels-last", 6, (4, 4))),
        ((16, 8, 10), (3, 225, 320), Layout("map", 16, (8, 10))),
        ((196, 192), (3, 224, 224), Layout("tokens", 192, (14, 14))),
        ((197, 192), (3, 224, 224), Layout("tokens", 192, (14, 14), 1)),
        ((198, 192), (3, 224, 224), Layout("tokens", 192, (14, 14), 2)),
        ((261, 64), (3, 224, 224), Layout("tokens", 64, (16, 16), 5)),
        ((71, 64), (3, 224, 320), Layout("tokens", 64, (7, 10), 1)),
        ((7, 11), (1, 9, 9), Layout("vector", 77, (5, 5))),
        ((10,), RGB32, Layout("vector", 10, (4, 4))),
        ((1,), (3, 224, 224), Layout("vector", 1, (4, 4))),
        ((), (3, 8, 8), Layout("vector", 1, (4, 4))),
        ((512, 1, 1), RGB32, Layout("vector", 512, (4, 4))),
        ((2, 3, 4, 5), (3, 8, 8), Layout("vector", 120, (4, 4))),
    ],
)
def test_layouts_are_recognised(feature, size, layout):
    found = Layout.of(feature, size)
    assert replace(found, grid=layout.grid) == layout
    assert layout.kind == "vector" or found.grid == layout.grid


def test_every_enlarging_is_exact_and_uses_every_cell():
    """All pairs of sizes: the formula of transposed convolutions gives the target, and nothing is cut off whole."""
    for overlap in (1, 2):
        for size in range(1, 40):
            for target in range(size, 4 * size + 60):
                one = Enlarging.between(size, target, overlap)
                assert (size - 1) * one.stride - 2 * one.padding + one.kernel == target
                assert one.kernel >= one.stride >= 1 and 0 <= one.padding < one.kernel
                assert one.padding <= one.kernel // 2


def test_the_first_blocks_enlarge_as_often_as_needed():
    assert grid_sizes((32, 32), (32, 32)) == []
    assert grid_sizes((34, 34), (32, 32)) == []
    assert grid_sizes((30, 30), (32, 32)) == [(32, 32)]
    assert grid_sizes((8, 8), (32, 32)) == [(16, 16), (32, 32)]
    assert grid_sizes((6, 6), (227, 227)) == [(29, 29), (57, 57), (114, 114), (227, 227)]
    assert grid_sizes((7, 7), (224, 224)) == [(28, 28), (56, 56), (112, 112), (224, 224)]
    assert grid_sizes((8, 4), (8, 32)) == [(8, 8), (8, 16), (8, 32)]


FEATURES = [
    ((16, 32, 32), RGB32, 0),
    ((32, 16, 16), RGB32, 1),
    ((64, 8, 8), RGB32, 2),
    ((10,), RGB32, 3),
    ((1,), RGB32, 3),
    ((), RGB32, 3),
    ((512, 1, 1), RGB32, 3),
    ((8, 30, 30), RGB32, 1),
    ((8, 34, 34), RGB32, 0),
    ((4, 20, 20), RGB32, 1),
    ((4, 4, 6), RGB32, 3),
    ((17, 6), RGB32, 3),
    ((3, 5, 7), (1, 37, 53), 3),
    ((8, 55, 55), (3, 227, 227), 2),
    ((8, 27, 27), (3, 227, 227), 3),
    ((8, 13, 13), (3, 227, 227), 4),
    ((8, 6, 6), (3, 227, 227), 4),
    ((600,), (3, 227, 227), 4),
    ((3, 1, 1), (3, 1, 1), 0),
]


@pytest.mark.parametrize(("feature", "size", "enlarging"), FEATURES)
def test_any_feature_is_taken_to_the_inputs_exact_size(feature, size, enlarging):
    decoder = make(feature, size)
    assert decoder(noise(2, *feature)).shape == (2, *size)
    blocks = [module for module in decoder.modules() if isinstance(module, ResidualBlock)]
    transposed = [isinstance(block.first, nn.ConvTranspose2d) for block in blocks]
    assert len(blocks) == BLOCKS == 6 and transposed == [True] * enlarging + [False] * (6 - enlarging)
    assert transposed == [isinstance(block.parallel, nn.ConvTranspose2d) for block in blocks]


@pytest.mark.parametrize(("feature", "size"), [(f, s) for f, s, _ in FEATURES if s[1] < 64])
def test_every_element_of_the_feature_matters(feature, size):
    decoder, x = make(feature, size), noise(1, *feature).requires_grad_()
    (gradient,) = torch.autograd.grad((decoder(x) * noise(1, *size, seed=2)).sum(), x)
    assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.8  # ReLUs are off in places


def test_a_place_of_the_feature_is_decoded_at_its_place():
    """A change in one corner's cell or token changes that corner of the output most."""
    for feature, cell in (((8, 8, 8), (0, slice(None), 7, 0)), ((8, 8, 2), (0, 7, 0)), ((65, 3), (0, 1 + 7 * 8))):
        decoder, x = make(feature), noise(1, *feature)
        other = x.clone()
        other[cell] += 1
        changed = (decoder(other) - decoder(x)).abs().sum((0, 1))
        assert changed[16:, :16].sum() > 0.9 * changed.sum()


def test_a_sample_is_decoded_on_its_own():
    for feature in ((16, 8, 8), (17, 6), (5,)):
        for decoder in (make(feature), make(feature).train()):
            x = noise(5, *feature)
            torch.testing.assert_close(decoder(x)[2:3], decoder(x[2:3]), rtol=1e-5, atol=1e-5)
            assert torch.equal(decoder(x), decoder(x))


@pytest.mark.parametrize("feature", [(4, 8, 8), (4, 4, 6), (17, 6), (5,)])
def test_calibration_standardises_each_channel_and_keeps_constant_ones_harmless(feature):
    decoder = make(feature)
    channels = decoder.layout.channels
    scale = torch.logspace(-2, 3, channels)
    x = noise(300, *feature)
    x = x * (scale if feature != (4, 8, 8) else scale[:, None, None]) + 7
    constant = (slice(None), 0) if feature == (4, 8, 8) else (..., 0)
    x[constant] = 3.0
    decoder.calibrate(x)
    rows = decoder._rows((decoder._arranged(x)) if feature in ((4, 8, 8), (5,)) else (x - decoder.mean) / decoder.std)
    torch.testing.assert_close(rows.mean(0), torch.zeros(channels), atol=1e-2, rtol=0)
    torch.testing.assert_close(rows.std(0)[-1], torch.tensor(1.0), atol=1e-2, rtol=0)
    assert rows[:, 0].abs().max() < 1e-5 and decoder.std[0] > 1
    decoder.calibrate(torch.full((3, *feature), 2.0))
    assert (decoder.std == 1).all()


def test_a_rescaled_feature_decodes_alike_after_calibration():
    one, other, x = make((4, 8, 8)), make((4, 8, 8)), noise(20, 4, 8, 8)
    one.calibrate(x)
    other.calibrate(1000 * x)
    torch.testing.assert_close(one(x), other(1000 * x), rtol=1e-4, atol=1e-4)


def test_wrong_shapes_are_refused():
    with pytest.raises(InfodiscardError, match=r"\(4, 4, 4\).*made for \(4, 8, 8\)"):
        make((4, 8, 8))(noise(1, 4, 4, 4))
    with pytest.raises(InfodiscardError, match="channels × height × width"):
        Decoder((4,), (32, 32))
    with pytest.raises(InfodiscardError, match="empty"):
        Decoder((0, 4, 4), RGB32)
    with pytest.raises(InfodiscardError, match="width is 0"):
        Decoder((4,), RGB32, 0)


# The cache


def put(folder: Path, feature=(4, 4, 4), size=(3, 8, 8), seed=0, name="", **about):
    folder.mkdir(exist_ok=True)
    about = ABOUT | about
    path = file_of(folder, about["layer"], name or training_key(about | {"seed": seed}))
    return save(make(feature, size, seed=seed), path, about)


def look(folder, layer="layer1", feature=(4, 4, 4), size=(3, 8, 8), weights="ab" * 32, **options):
    return find(weights, layer, feature, size, folder, **options)


def test_a_decoder_is_found_as_it_was_saved(tmp_path):
    saved = put(tmp_path)
    found = look(tmp_path)
    assert found == saved and found.path.parent == tmp_path and found.quality == ABOUT["quality"]
    assert (found.layer, found.feature_shape, found.input_shape) == ("layer1", (4, 4, 4), (3, 8, 8))
    x = noise(2, 4, 4, 4)
    assert torch.equal(found.module(x), make((4, 4, 4), (3, 8, 8))(x))
    assert not found.module.training and not any(p.requires_grad for p in found.module.parameters())
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_of_several_the_best_is_found_wherever_it_is(tmp_path):
    for k, mse in enumerate((0.3, 0.1, 0.2)):
        put(tmp_path / str(k), seed=k, quality={"mse": mse})
    put(tmp_path / "1", seed=3, layer="layer2", quality={"mse": 0.01})
    folders = [tmp_path / str(k) for k in (0, 1, 2)]
    assert look([*folders, tmp_path / "missing"]).quality == {"mse": 0.1}
    assert look(folders[::-1]).digest == look(folders).digest != look(folders[0]).digest


def test_half_precision_rounds_weights_only_and_halves_the_file(tmp_path):
    decoder = make((4, 4, 4), (3, 8, 8), width=16)
    decoder.mean.fill_(1e6)
    about = ABOUT | {"recipe": {"width": 16, "half": True}}
    whole = save(decoder, tmp_path / "whole.safetensors", about | {"recipe": {"width": 16, "half": False}})
    decoders.halve(decoder)
    half = save(decoder, tmp_path / "half.safetensors", about)
    assert half.path.stat().st_size < 0.55 * whole.path.stat().st_size
    assert torch.equal(half.module.mean, whole.module.mean) and half.digest != whole.digest
    x = 1e6 + noise(2, 4, 4, 4)
    assert half.module(x).dtype == torch.float32
    assert (half.module(x) - whole.module(x)).norm() < 0.01 * whole.module(x).norm()


@pytest.mark.parametrize(
    ("stored", "options", "said"),
    [
        ({}, {"weights": "ef" * 32}, "of a network with other weights"),
        ({}, {"layer": "layer3"}, "those there are for layer1;"),
        ({"size": (3, 16, 16)}, {}, "inputs of 3×8×8: the one there is for 3×16×16"),
        ({"feature": (2, 4, 4)}, {}, "features of 4×4×4: the one there is for 2×4×4"),
        ({"mean": [0.4] * 3}, {"normalisation": ((0.5,) * 3, (0.25,) * 3)}, "mean of 0.5×0.5×0.5"),
        ({"std": [0.3] * 3}, {"normalisation": ((0.5,) * 3, (0.25,) * 3)}, "another standard deviation"),
        ({"layer": "conv1", "weights_hash": "0"}, {}, "layer 'layer1' of this network in"),
    ],
)
def test_another_decoder_is_refused_with_the_reason_and_the_command(tmp_path, stored, options, said):
    put(tmp_path, **stored)
    with pytest.raises(InfodiscardError) as caught:
        look(tmp_path, network="zoo:resnet20", **options)
    layer = options.get("layer", "layer1")
    command = f"infodiscard train-decoder zoo:resnet20 --layers '{layer}' --data SPEC --decoders {tmp_path}."
    assert said in str(caught.value) and str(caught.value).endswith(command) and "\n" not in str(caught.value)


def test_without_any_decoder_the_users_cache_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("INFODISCARD_CACHE", str(tmp_path))
    with pytest.raises(InfodiscardError, match=r"decoders'; train one with .* --data SPEC\.$"):
        look(())
    put(tmp_path / "decoders")
    assert look(()).path.parent == tmp_path / "decoders"


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.delenv("INFODISCARD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() == Path.home() / ".cache" / "infodiscard" / "decoders"
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert default_folder() == Path("/there/infodiscard/decoders")
    monkeypatch.setenv("INFODISCARD_CACHE", "/here")
    assert default_folder() == Path("/here/decoders")


def test_broken_files_are_not_used(tmp_path):
    path = put(tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(InfodiscardError, match="is broken: delete it; train one with"):
        look(tmp_path)
    with pytest.raises(InfodiscardError, match="not a whole file of a decoder"):
        load(path)
    path.write_bytes(whole[:-8] + bytes(8))
    with pytest.raises(InfodiscardError, match="was changed after it was written"):
        look(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InfodiscardError, match="not a whole file of a decoder"):
        load(tmp_path / "other.safetensors")
    with pytest.raises(InfodiscardError, match="There is no decoder"):
        load(tmp_path / "nowhere.safetensors")
    header = json.dumps(ABOUT | {"format": decoders.FORMAT, "feature_shape": [4, 4, 4], "input_shape": [3, 8, 8]})
    save_file({"a": torch.zeros(2)}, path, {"decoder": header})
    with pytest.raises(InfodiscardError, match="does not hold the parameters"):
        load(path)
    path.write_bytes(whole)
    assert look(tmp_path).layer == "layer1"  # broken ones beside it do no harm


def test_files_are_named_by_all_that_a_training_depends_on(tmp_path):
    key = training_key(ABOUT)
    assert key == training_key(dict(reversed(ABOUT.items())))
    assert len({key, *(training_key(ABOUT | {name: "other"}) for name in ABOUT)}) == len(ABOUT) + 1
    assert file_of(tmp_path, "a/b[0]#1", key).name == f"a-b-0-1-{key[:16]}.safetensors"


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    path = tmp_path / "file"
    write(path, b"old")
    monkeypatch.setattr(decoders.os, "fsync", full)
    with pytest.raises(InfodiscardError, match=r"'.*file' cannot be written \(No space left on device\)"):
        write(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_digest_tells_decoders_apart_and_is_the_files(tmp_path):
    one, other = put(tmp_path, seed=0), put(tmp_path, seed=1)
    assert one.digest != other.digest and load(one.path).digest == one.digest
    assert all(value.dtype == torch.float32 for value in load_file(one.path).values())
