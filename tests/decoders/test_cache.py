"""The cache of decoders: what is found, refused with its reason, and written whole."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from errno import ENOSPC
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from infodiscard.core.files import read_safetensors_header
from infodiscard.core.fingerprint import fingerprint
from infodiscard.decoders.cache import CARRIED, FORMAT, Origin, default_folder, find, halve, load, save
from infodiscard.decoders.recipe import DecoderRecipe
from infodiscard.errors import InfodiscardError
from random_decoders import make, noise

ORIGIN = Origin("layer1", "ab" * 32, (0.5,) * 3, (0.25,) * 3, "cd" * 32, DecoderRecipe(width=2))


QUALITY = {"mse": 0.25, "psnr": 20.0}


HELD_OUT = "4 images of 'npz:x.npz'"


def put(folder: Path, feature=(4, 4, 4), size=(3, 8, 8), seed=0, quality=QUALITY, **changed):
    folder.mkdir(exist_ok=True)
    origin = replace(ORIGIN, recipe=replace(ORIGIN.recipe, seed=seed), **changed)
    return save(make(feature, size, seed=seed), origin.file(folder), origin, quality, HELD_OUT)


def look(folder, layer="layer1", feature=(4, 4, 4), size=(3, 8, 8), weights="ab" * 32, **options):
    return find(weights, layer, feature, size, folder, **options)


def test_a_decoder_is_found_as_it_was_saved(tmp_path):
    saved = put(tmp_path)
    found = look(tmp_path)
    assert found == saved and found.path.parent == tmp_path and (found.quality, found.held_out) == (QUALITY, HELD_OUT)
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
    origin = replace(ORIGIN, recipe=DecoderRecipe(width=16))
    whole = save(decoder, tmp_path / "whole.safetensors", origin, QUALITY, HELD_OUT)
    halve(decoder)
    origin = replace(ORIGIN, recipe=DecoderRecipe(width=16, half=True))
    half = save(decoder, tmp_path / "half.safetensors", origin, QUALITY, HELD_OUT)
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
        ({"mean": (0.4,) * 3}, {"normalisation": ((0.5,) * 3, (0.25,) * 3)}, "mean of 0.5×0.5×0.5"),
        ({"std": (0.3,) * 3}, {"normalisation": ((0.5,) * 3, (0.25,) * 3)}, "another standard deviation"),
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
    shapes = {"feature_shape": [4, 4, 4], "input_shape": [3, 8, 8]}
    header = json.dumps(asdict(ORIGIN) | {"format": FORMAT, **shapes})
    save_file({"a": torch.zeros(2)}, path, {"decoder": header})
    with pytest.raises(InfodiscardError, match="does not hold the parameters"):
        load(path)
    path.write_bytes(whole)
    assert look(tmp_path).layer == "layer1"  # broken ones beside it do no harm


def test_files_are_named_by_all_that_a_training_depends_on(tmp_path):
    changed = {"layer": "layer2", "weights_hash": "0", "mean": (0.4,) * 3, "std": (0.3,) * 3, "data_hash": "1"}
    others = [replace(ORIGIN, **{name: value}) for name, value in changed.items()]
    others += [replace(ORIGIN, recipe=DecoderRecipe(width=2, seed=1))]
    names = {each.file(tmp_path).name.rpartition("-")[2] for each in (ORIGIN, *others)}
    assert len(names) == len(others) + 1 and ORIGIN.file(tmp_path) == replace(ORIGIN).file(tmp_path)
    assert re.fullmatch(r"a-b-0-1-[0-9a-f]{16}\.safetensors", replace(ORIGIN, layer="a/b[0]#1").file(tmp_path).name)


def test_carried_decoders_have_the_names_of_their_origins():
    """So that a decoder of today's format is found by what it was trained for."""
    paths = list(CARRIED.iterdir())
    assert len(paths) == 5 and all(load(path).origin.file(path.parent) == path for path in paths)


def test_a_recipe_with_fields_of_another_version_is_read(tmp_path):
    path = put(tmp_path).path
    header = json.loads(read_safetensors_header(path)["decoder"])
    header["recipe"]["later"] = 1
    save_file(load_file(path), path, {"decoder": json.dumps(header)})
    assert load(path).origin.recipe == ORIGIN.recipe


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    path = put(tmp_path).path
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InfodiscardError, match=r"Could not write '.*layer1.*': No space left on device;"):
        put(tmp_path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_digest_tells_decoders_apart_and_is_the_files(tmp_path):
    one, other = put(tmp_path, seed=0), put(tmp_path, seed=1)
    assert one.digest != other.digest and load(one.path).digest == one.digest
    assert all(value.dtype == torch.float32 for value in load_file(one.path).values())


def test_a_decoder_of_other_features_is_not_taken_for_that_of_the_layer(tmp_path):
    known, other = (fingerprint([np.full(3, value)]) for value in (1.0, 2.0))
    saved = save(make((4, 4, 4), (3, 8, 8)), tmp_path / "a.safetensors", ORIGIN, QUALITY, HELD_OUT, known)
    arguments = ORIGIN.weights_hash, "layer1", saved.feature_shape, saved.input_shape, tmp_path
    assert find(*arguments, features=known).features == known and find(*arguments).path == saved.path
    with pytest.raises(InfodiscardError, match="same weights and other code, whose features are others; train"):
        find(*arguments, features=other)
    save(
        make((4, 4, 4), (3, 8, 8)), tmp_path / "a.safetensors", ORIGIN, QUALITY, HELD_OUT
    )  # as earlier versions wrote it
    assert find(*arguments, features=other).features == ()
