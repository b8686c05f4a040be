"""What users mistype, by command and by argument: each ends with one sentence and exit code 2, and leaves no file."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import infodiscard
from infodiscard import ImageSet, InfodiscardError, Network, data, zoo
from shell import QUICK, call, make_place
from small_network import images, tiny
from synthetic import make_run

LONG = "x" * 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with networks, images, texts and runs, good and bad, for all cases."""
    place, before = tmp_path_factory.mktemp("bad"), Path.cwd()
    os.chdir(place)
    make_place(place)
    for name in ("empty", "mixed", "texts", "other"):
        Path(name).mkdir()
    Path("mixed/class").mkdir()
    for side in (8, 9):
        Image.new("RGB", (side, side)).save(f"mixed/class/{side}.png")
    Path("texts/a.txt").write_text("no picture\n")
    Path("notes.txt").write_text("a text\n")
    Path("empty.txt").write_text("")
    Path("other/file.txt").write_text("not a run\n")
    Path("syntax.py").write_text("def net(:\n")
    Path("wrong.py").write_text("net = 3\ndef number(): return 3\ndef needs(x): return x\nimport nowhere_at_all\n")
    Path("odd.py").write_text("net = 3\ndef number(): return 3\ndef needs(x): return x\n")
    Path("empty.npz").write_bytes(b"")
    Path("pickled.pt").write_bytes(b"\x80\x04K\x01.")
    rng = np.random.default_rng(0)
    good = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.savez("nameless.npz", pictures=good)
    np.savez("labels.npz", images=good, labels=np.arange(2))
    np.savez("floats.npz", images=good, labels=np.array([0.5, 1.5, 2.5]))
    np.savez("boxes.npz", images=good, boxes=np.tile([2, 2, 40, 4], (3, 1)))
    np.savez("none.npz", images=good[:0])
    np.savez("bright.npz", images=good.astype(np.float32))
    small = {"layers": ("conv1", "fc"), "samples": 4, "size": 6}
    make_run(place / "run", **small)
    make_run(place / "second", **small)
    make_run(place / "large", **small | {"size": 8})
    make_run(place / "shallow", **small | {"layers": ("stem",)})
    make_run(place / "part", **small, units=1)
    make_run(place / "two", networks=("a", "b"), **small)
    yield place
    os.chdir(before)


def there(folder):
    """The names in a folder and in its own folders."""
    return {path for path in (*folder.glob("*"), *folder.glob("[!_r]*/*"), *folder.glob("runs/*"))}


# Of each: what is typed behind the command, and what the sentence says of it.

NETWORKS = [
    ("torchvison:resnet18", "near it are 'torchvision:resnet18'"),
    ("torchvision:resnet19", "resnet1"),
    ("torchvision:", "torchvision:NAME"),
    ("resnet20", "near it are 'zoo:resnet20'"),
    ("zoo:resnet21", "'zoo:resnet20'"),
    ("zoo:", "zoo:NAME"),
    ("zoo", "zoo:NAME"),
    ("Demo", "'demo'"),
    ("demo:resnet20", "There is no network"),
    ("timm:resnet999", "resnet"),
    ("hf:./nowhere", "nowhere"),
    ("hf:empty", "config.json|empty"),
    ("''", "There is no network ''"),
    ("nowhere.py:net", "nowhere.py"),
    ("net.py:nothing", "nothing"),
    ("net.py", "net.py"),
    ("net.py:", "net.py"),
    ("net.py:broken", "no such thing"),
    ("odd.py:net", "net"),
    ("odd.py:number", "int"),
    ("odd.py:needs", "needs|argument"),
    ("syntax.py:net", "syntax.py.*SyntaxError|SyntaxError"),
    ("wrong.py:net", "nowhere_at_all"),
    ("notes.txt", "There is no network"),
    ("nowhere.safetensors", "nowhere.safetensors"),
    ("broken.safetensors", "broken.safetensors"),
    ("partial.safetensors", "partial.safetensors"),
    ("zoo:resnet20,width=", "width="),
    ("zoo:resnet20,width=-1", "width was '-1'"),
    ("zoo:resnet20,width=wide", "width was 'wide'"),
    ("zoo:resnet20,classes=2.5", "classes was '2.5'"),
    ("zoo:resnet20,depth=3", "options of 'zoo:resnet20' are"),
    ("zoo:resnet20,width=1,width=2", "each once"),
    ("zoo:vgg16,size=4", "32 or more"),
    ("zoo:vgg16,size=4by4", "HEIGHTxWIDTH"),
    ("zoo:vgg16,damage=layer2.1", "cannot be damaged"),
    ("demo,width=2", "takes no options"),
    ("zoo:resnet20,weights=", "no weights"),
    (f"{LONG}.py:net", "name too long"),
    ("large.npz", "There is no network"),
]

LAYERS = [
    ("", "Missing argument 'NETWORK'"),
    ("demo extra", "extra"),
    ("demo --size 0", "--size was '0'"),
    ("demo --size 32by32", "HEIGHTxWIDTH"),
    ("demo --size 7x", "--size was '7x'"),
    ("demo --mean a,b,c", "--mean was 'a,b,c'"),
    ("demo --csv nowhere/layers.csv", "does not exist"),
    ("demo --csv", "requires an argument"),
    ("demo --weights a.pt", "carries its own weights"),
    ("demo --data demo", "No such option"),
]

MEASURE = [
    ("", "Missing argument 'NETWORK'"),
    ("net.py:plain --data", "requires an argument"),
    ("net.py:plain --sampels 2", "No such option: --sampels"),
    ("net.py:plain --data cifar", "'cifar10'"),
    ("net.py:plain --data folders:empty", "near it is 'folder:DIR'"),
    ("net.py:plain --data folder:", "names no file or folder"),
    ("net.py:plain --data folder", "names no file or folder"),
    ("net.py:plain --data folder:nowhere", "nowhere"),
    ("net.py:plain --data folder:empty", "empty"),
    ("net.py:plain --data folder:texts", "texts"),
    ("net.py:plain --data folder:notes.txt", "notes.txt"),
    ("net.py:plain --data mixed", "write 'folder:mixed'"),
    (f"net.py:plain --data folder:{LONG}", "name too long"),
    ("net.py:plain --data npz:nowhere.npz", "nowhere.npz"),
    ("net.py:plain --data npz:broken.npz", "broken.npz"),
    ("net.py:plain --data npz:empty.npz", "empty.npz"),
    ("net.py:plain --data npz:notes.txt", "notes.txt"),
    ("net.py:plain --data npz:nameless.npz", "images"),
    ("net.py:plain --data npz:none.npz", "no images|none.npz"),
    ("net.py:plain --data npz:nan.npz", "[Nn]a[Nn]"),
    ("net.py:plain --data npz:integers.npz", "int64"),
    ("net.py:plain --data npz:flat.npz", r"\(3, 192\)"),
    ("net.py:plain --data npz:grey.npz", "channel"),
    ("net.py:plain --data npz:labels.npz", "label"),
    ("net.py:plain --data npz:floats.npz", "give integers"),
    ("net.py:plain --data npz:boxes.npz", "[Bb]ox"),
    ("net.py:plain --data npz:bright.npz", r"\[0, 1\]|0 … 1|between 0 and 1"),
    ("net.py:plain --data parquet:nowhere-*.parquet", "nowhere"),
    ("net.py:plain --data parquet:notes.txt", "notes.txt"),
    ("net.py:plain --data cub:empty", "empty"),
    ("net.py:plain --data good.npz", "write 'npz:good.npz'"),
    ("net.py:plain --text notes.txt", "takes images, not text|--data SPEC"),
    ("net.py:plain --data demo --text notes.txt", "--data SPEC for images, or --text FILE"),
    ("net.py:plain --samples 0", "1 or more"),
    ("net.py:plain --samples -3", "1 or more"),
    ("net.py:plain --samples 2.5", "--samples"),
    ("net.py:plain --samples many", "--samples"),
    ("net.py:plain --layers conv3", "nearest are 'conv"),
    ("net.py:plain --layers Conv1", "nearest are 'conv"),
    ("net.py:plain --layers block*", "No layer of 'plain' matches 'block"),
    ("net.py:plain --layers conv1#1", "called 1 times|#1"),
    ("net.py:plain --layers conv1[", "not a layer address"),
    ("net.py:plain --layers conv1[0]", "no entry"),
    ("net.py:plain --layers hidden_states[1]", "no layer"),
    ("net.py:constant --layers output", "δ_f² = 0"),
    ("net.py:detached --layers output", "passes no gradient"),
    ("net.py:random --layers conv2", "random"),
    ("net.py:unknown", "--mean"),
    ("net.py:plain --metrics side", "sid, ru|'sid'"),
    ("net.py:plain --metrics ''", "metrics was"),
    ("net.py:plain --metrics ru", "infodiscard train-decoder"),
    ("net.py:plain --metrics ru --decoders nowhere", "nowhere|train-decoder"),
    ("net.py:plain --alpha -1", "alpha was -1"),
    ("net.py:plain --alpha 0", "alpha was 0"),
    ("net.py:plain --alpha nan", "alpha was nan"),
    ("net.py:plain --alpha high", "--alpha"),
    ("net.py:plain --tau 0", "tau was"),
    ("net.py:plain --tau paperr", "'paper'"),
    ("net.py:plain --tau inf", "tau was inf"),
    ("net.py:plain --sigma image", "'pixel'"),
    ("net.py:plain --sigma grid:99", "grid"),
    ("net.py:plain --sigma grid:0", "grid"),
    ("net.py:plain --cap none", "'range'"),
    ("net.py:plain --cap -2", "cap was -2"),
    ("net.py:plain --seed 1.5", "--seed"),
    ("net.py:plain --seed 99999999999999999999", "seed"),
    ("net.py:plain --tolerance 0", "tolerance was 0"),
    ("net.py:plain --max-passes 10", "needs at least"),
    ("net.py:plain --start warm", "'before'"),
    ("net.py:plain --precision fp16", "'bf16'"),
    ("net.py:plain --device gpu", "'cpu' always can"),
    ("net.py:plain --device cuda:99", "'cpu' always can"),
    ("net.py:plain --batch-size 0", "--batch-size"),
    ("net.py:plain --block 0", "--block"),
    ("net.py:plain --engine slurm", "slurm"),
    ("net.py:plain --workers 2", "--engine ray"),
    ("net.py:plain --gpus 1", "--engine ray"),
    ("net.py:plain --budget soon", "90s, 5min or 2h"),
    ("net.py:plain --budget 0s", "above 0"),
    ("net.py:plain --budget -5min", "--budget"),
    ("net.py:plain --mean 0.5,0.5", "2 means"),
    ("net.py:plain --mean 0,5;0,5", "--mean"),
    ("net.py:plain --mean 123,117,104 --std 58,57,57", r"\[0, 1\]"),
    ("net.py:plain --std 0", "positive"),
    ("net.py:plain --std -1,-1,-1", "positive"),
    ("net.py:plain --std nan,1,1", "positive"),
    ("net.py:plain --size 8by8", "--size was '8by8'"),
    ("net.py:plain --size 4", "does not take|smaller|size"),
    ("net.py:plain --split val", "'test'"),
    ("net.py:plain --crop 1.5", "'cub:DIR' only"),
    ("net.py:plain --weights nowhere.pt", "nowhere.pt"),
    ("net.py:plain --weights pickled.pt", "pickled.pt"),
    ("net.py:plain --weights notes.txt", "notes.txt"),
    ("net.py:plain --weights a.pt --weights b.pt", "twice for 1 network"),
    ("net.py:plain --name a --name b", "twice for 1 network"),
    ("net.py:plain net.py:plain", "--name of its own"),
    ("net.py:plain net.py:large", "8x8.*16x16"),
    ("zoo:resnet20", "--random-weights"),
    ("zoo:resnet20 --weights partial.safetensors", "do not fit"),
    ("demo --weights partial.safetensors", "carries its own"),
    ("net.py:plain --out notes.txt", "is a file"),
    ("net.py:plain --out other", "holds other files"),
    ("net.py:plain --out run", "holds a different run"),
    (f"net.py:plain --out {LONG}", "name too long"),
    ("net.py:plain --out nothing://bucket/run", "no place that can be reached|library"),
    ("net.py:plain --log nowhere/log.jsonl", "log"),
]

OTHERS = [
    ("walk", "There is no command 'walk'"),
    ("mesure net.py:plain", "near it are 'measure'"),
    ("--nope", "No such option: --nope"),
    ("compare", "Missing argument 'RUN'"),
    ("compare run", "two networks or more"),
    ("compare run nowhere", "nowhere"),
    ("compare run other", "other"),
    ("compare run notes.txt", "notes.txt"),
    ("compare run run", "named 'run'"),
    ("compare a=run a=second", "named 'a'"),
    ("compare run large", "one size only"),
    ("compare run shallow", "share no layer names"),
    ("compare run second --metric side", "'sid'"),
    ("compare run second --metric ru", "ru"),
    ("compare run second --by depth", "position"),
    ("compare run second --reference third", "'second'|'run'"),
    ("compare run second --csv empty", "is a directory"),
    ("compare two --reference c", "'a'|'b'"),
    ("compare-networks net.py:plain --data npz:good.npz", "two networks or more"),
    ("compare-networks net.py:plain net.py:other", "--data"),
    ("compare-networks net.py:plain net.py:plain --data npz:good.npz", "--name of its own"),
    ("compare-networks net.py:plain net.py:short --data npz:good.npz --samples 2", "layer"),
    ("check run", "Missing argument 'CANDIDATE'"),
    ("check run nowhere/run", "nowhere"),
    ("check run demo2", "not the directory of a run, and as a network"),
    ("check run large", "size|differ|share"),
    ("check run part", "not finished|unfinished"),
    ("check run shallow", "share no layer names"),
    ("check run second --data demo", "leave out what says how to measure"),
    ("check run second --max-passes 200", "--max-passes"),
    ("check run second --max-change -1", "max_change"),
    ("check run second --max-change much", "--max-change"),
    ("check run second --confidence 95", "between 0.5 and 1|confidence"),
    ("check run second --metric ru", "ru|RU"),
    ("check run second --metric loss", "sid, ru"),
    ("check run second --by depth", "position"),
    ("check run net.py:plain", "--data"),
    ("check two second", "two|DIR/NETWORK"),
    ("check two/c second", "'a'|nowhere|c"),
    ("check net.py:plain net.py:other --data npz:good.npz --samples 1", "too few images"),
    ("report", "Missing argument 'RUN'"),
    ("report nowhere", "nowhere"),
    ("report other", "other"),
    ("report notes.txt", "notes.txt"),
    ("report run --out notes.txt", "notes.txt"),
    ("report run run", "named 'run'"),
    ("report run second --out notes.txt/page.html", "notes.txt"),
    (f"report {LONG}", "name too long"),
    ("export run", "--tensorboard DIR or --mlflow URI"),
    ("export nowhere --tensorboard logs", "nowhere"),
    ("export run --tensorboard notes.txt", "notes.txt"),
    ("export run --tensorboard logs --step first", "--step"),
    ("status nowhere", "nowhere"),
    ("status other", "other"),
    ("status", "Missing argument 'RUN'"),
    (f"status {LONG}", "name too long"),
    ("verify nowhere", "nowhere"),
    ("verify notes.txt", "notes.txt"),
    ("plan net.py:plain --data npz:good.npz --calibrate 0", "above 0"),
    ("plan net.py:plain --data npz:good.npz --calibrate long", "--calibrate"),
    ("plan net.py:plain --data npz:good.npz --workers 0", "workers"),
    ("plan net.py:plain --data npz:good.npz --workers one", "--workers was 'one'"),
    ("plan net.py:plain --data npz:good.npz --efficiency 2", "at most 1"),
    ("plan net.py:plain --data npz:good.npz --cores 0", "cores"),
    ("plan net.py:plain --data npz:good.npz --out run", "No such option"),
    ("plan net.py:plain", "--data SPEC for images"),
    ("train resnet20", "--data"),
    ("train resnet99 --data npz:good.npz", "resnet"),
    ("train resnet20 --data npz:nowhere.npz", "nowhere"),
    ("train resnet20 --data npz:nan.npz", "label|[Nn]a[Nn]"),
    ("train resnet20 --data npz:good.npz --epochs 0", "epochs"),
    ("train resnet20 --data npz:good.npz --batch-size 0", "batch"),
    ("train resnet20 --data npz:good.npz --lr -1", "lr|learning rate"),
    ("train resnet20 --data npz:good.npz --optimizer adam", "adamw"),
    ("train resnet20 --data npz:good.npz --keep-epochs a", "--keep-epochs was 'a'"),
    ("train resnet20 --data npz:good.npz --damage layer9", "layer9"),
    ("train resnet20 --data npz:good.npz --keep all", "keep"),
    ("train resnet20 --data npz:good.npz --teacher nowhere.safetensors", "nowhere"),
    ("train-decoder net.py:plain --data npz:good.npz --layers conv9", "conv9"),
    ("train-decoder net.py:plain --data npz:nowhere.npz", "nowhere"),
    ("train-decoder net.py:plain --data npz:good.npz --epochs 0", "epochs"),
    ("train-decoder net.py:plain --data npz:good.npz --width 0", "width"),
    ("train-decoder net.py:plain --data npz:good.npz --validation-share 2", "validation_share|share"),
    ("train-decoder net.py:plain", "--data"),
    ("compress nowhere.safetensors --data npz:good.npz", "nowhere"),
    ("compress partial.safetensors --data npz:good.npz", "partial"),
    ("compress broken.safetensors --data npz:good.npz", "broken"),
    ("compress zoo:resnet20 --data npz:good.npz", "zoo:resnet20"),
    ("reproduce", "Missing argument 'STUDY'"),
    ("reproduce flaw", "'flaws'"),
    ("reproduce flaws --profile fast", "'quick'"),
]

COMMANDS = [
    *((f"layers {words}", says) for words, says in [*NETWORKS, *LAYERS]),
    *((f"measure {words}", says) for words, says in MEASURE),
    *OTHERS,
]


@pytest.mark.parametrize(("line", "says"), COMMANDS, ids=[line[:70] for line, _ in COMMANDS])
def test_commands(folder, line, says):
    words = shlex.split(line)
    if words[0] == "measure" and len(words) > 1 and words[-1] != "--data":
        words += [] if {"--data", "--text"} & {*words} else ["--data", "npz:good.npz"]
        words += [] if "--samples" in words else QUICK[2:4]
        words += [] if "--max-passes" in words else QUICK[:2]
        words += [] if "--out" in words else ["--out", "new"]
    before = there(folder)
    result = call(*words)
    said = result.stderr.splitlines()[-1] if result.stderr else result.output
    assert result.exit_code == 2, result.output
    assert re.fullmatch(r"Error: .{20,}\.", said) and len(said) < 700 and "Traceback" not in result.output, (
        result.output
    )
    assert re.search(says, said), said
    assert not result.stdout, result.stdout
    assert there(folder) == before


def measured(*given, **options):
    return infodiscard.measure(*given, **{"max_passes": 96, "progress": False} | options)


PICTURES = ImageSet(images(2))
NORMALISED = Network(tiny(), "net", (0.5,) * 3, (0.25,) * 3)

CALLS = {
    "data is a list of texts": (lambda: measured(tiny(), ["a", "b"]), ""),
    "data is None": (lambda: measured(tiny(), None), "data"),
    "data is an empty tensor": (lambda: measured(tiny(), images(0)), ""),
    "data is one image": (lambda: measured(tiny(), images(1)[0]), "shape"),
    "data is channels last": (lambda: measured(tiny(), images(2).permute(0, 2, 3, 1)), "does not take"),
    "data is bytes": (lambda: measured(tiny(), (images(2) * 255).byte()), "integers"),
    "data is infinite": (lambda: measured(tiny(), images(2) / 0), "infinite|finite|NaN"),
    "data is complex": (lambda: measured(tiny(), images(2) + 1j), ""),
    "data is a spec with a typing error": (lambda: measured(tiny(), "foldr:pictures"), "'folder:DIR'"),
    "data is normalised already": (lambda: measured(NORMALISED, images(2) * 4 - 2), r"\[0, 1\]"),
    "data is in 0 … 255": (lambda: measured(NORMALISED, images(2) * 255), "255"),
    "labels are one too many": (lambda: ImageSet(images(2), torch.arange(3)), "one label"),
    "labels are floats": (lambda: ImageSet(images(2), torch.tensor([0.5, 1])), "whole numbers"),
    "names are alike": (lambda: ImageSet(images(2), names=("a", "a")), "names"),
    "classes are too few": (lambda: ImageSet(images(2), torch.tensor([0, 5]), classes=("a",)), "classes"),
    "masks are of another shape": (lambda: measured(tiny(), images(2), masks=torch.ones(2, 5, 5)), "masks have shape"),
    "masks are probabilities": (lambda: measured(tiny(), images(2), masks=torch.rand(2, 8, 8)), "true and false"),
    "masks are empty": (lambda: measured(tiny(), images(2), masks=torch.zeros(2, 8, 8)), "false everywhere"),
    "boxes are corners": (lambda: measured(tiny(), images(2), masks=torch.tensor([[2, 2, 7, 7]] * 2)), "[Bb]ox"),
    "no network": (lambda: measured(None, images(2)), "networks was"),
    "a class for a network": (lambda: measured(nn.ReLU, images(2)), "networks was"),
    "a spec without weights": (lambda: measured("zoo:resnet20", "demo"), "allow_random"),
    "a spec with a typing error": (lambda: measured("torchvison:resnet18", "demo"), "torchvision:resnet18"),
    "an empty dict of networks": (lambda: measured({}, images(2)), "networks was"),
    "a number among networks": (lambda: measured({"a": 3}, images(2)), "Network 'a' is a int"),
    "a network in training": (lambda: measured(tiny().train(), images(2)), "training mode"),
    "a function for a network": (lambda: measured(torch.relu, images(2)), "networks was"),
    "std is 0": (lambda: measured(Network(tiny(), "n", 0.5, 0.0), images(2)), "positive"),
    "mean without std": (lambda: measured(Network(tiny(), "n", (0.5,) * 3), images(2)), "no std"),
    "mean of bytes": (lambda: measured(Network(tiny(), "n", (123,) * 3, (58,) * 3), images(2)), r"\[0, 1\]"),
    "input_size of another": (lambda: measured(Network(tiny(), "n", 0.5, 0.2, (9, 9)), images(2)), "9×9"),
    "layers is a number": (lambda: measured(tiny(), images(2), 3), "layers holds 3"),
    "layers are of another network": (lambda: measured(tiny(), images(2), [nn.ReLU()]), "no module of"),
    "a layer with a typing error": (lambda: measured(tiny(), images(2), ["convv"]), "nearest"),
    "metrics is a text": (lambda: measured(tiny(), images(2), metrics="sids"), "metrics was"),
    "metrics has RU without decoders": (lambda: measured(tiny(), images(2), ["0"], metrics=["ru"]), ""),
    "max_passes by an unknown metric": (lambda: measured(tiny(), images(2), max_passes={"sud": 100}), "sud"),
    "seed is a text": (lambda: measured(tiny(), images(2), seed="1"), "seed was"),
    "device is not there": (lambda: measured(tiny(), images(2), device="cuda:77"), "cuda:77"),
    "out is a file": (lambda: measured(tiny(), images(2), out="notes.txt"), "is a file"),
    "out is another run": (lambda: measured(tiny(), images(2), out="run"), "different run"),
    "kind is unknown": (lambda: measured(tiny(), images(2), kind="video"), "video"),
    "noise_on is not among the inputs": (lambda: measured(tiny(), {"x": images(2)}, noise_on="y"), "noise_on was 'y'"),
    "budget is negative": (lambda: measured(tiny(), images(2), budget=-1), "budget"),
    "callback is a text": (lambda: measured(tiny(), images(2), callback="print"), "callback"),
    "engine is unknown": (lambda: measured(tiny(), images(2), engine="dask"), "dask"),
    "a run that is not there": (lambda: infodiscard.open_run("nowhere"), "does not exist"),
    "a run of nothing": (lambda: infodiscard.open_run(None), "place"),
    "a comparison of one": (lambda: infodiscard.compare({"a": "run"}), "two networks or more"),
    "a comparison by depth": (lambda: infodiscard.compare({"a": "run", "b": "second"}, by="depth"), "position"),
    "a run with nothing": (lambda: infodiscard.open_run("run").compare(3), ""),
    "a run with one of another size": (lambda: infodiscard.open_run("run").compare("large"), "one size only"),
    "a check without data": (lambda: infodiscard.check("run", tiny()), "give data"),
    "a check of nothing": (lambda: infodiscard.check("run", 3), ""),
    "regions of another size": (lambda: infodiscard.open_run("run").region(np.ones((3, 3))), ""),
    "words of images": (lambda: infodiscard.open_run("run").words(), "text"),
    "a picture of an unknown metric": (lambda: infodiscard.open_run("run").plot_layers(metric="sud"), "'sid'"),
    "a picture of an unknown network": (lambda: infodiscard.open_run("run").plot_maps(network="vgg"), "resnet20"),
    "a table in no folder": (lambda: infodiscard.open_run("run").to_csv("notes.txt/a.csv"), "Could not write"),
    "a zoo network without a name": (lambda: zoo.load("zoo:"), "zoo:NAME"),
    "a zoo network by a number": (lambda: zoo.load(20), "spec was 20"),
    "data of an unknown split": (lambda: data.load("demo", split="val"), "split was 'val'"),
    "data of no samples": (lambda: data.load("demo", 0), "1 or more"),
    "data in no size": (lambda: data.load("demo", 2, (0, 8)), "size"),
    "pictures of several sizes": (lambda: data.load("folder:mixed"), "size"),
    "layers of nothing": (lambda: infodiscard.list_layers(None), "network was None"),
    "layers on another input": (lambda: infodiscard.list_layers(tiny(), torch.rand(1, 5)), "does not take"),
    "integers of nothing": (lambda: infodiscard.dequantise(tiny(), images(1)), "Nothing in the Sequential"),
    "a forecast in no time": (lambda: infodiscard.forecast(tiny(), images(2), seconds=0), "seconds was 0"),
    "a forecast that is stored": (lambda: infodiscard.forecast(tiny(), images(2), out="new"), "leave it out"),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(folder, case):
    function, says = CALLS[case]
    before = there(folder)
    with pytest.raises(InfodiscardError, match=says or None) as caught:
        function()
    assert re.fullmatch(r".{20,}\.", str(caught.value)) and len(str(caught.value)) < 700, str(caught.value)
    assert there(folder) == before


def test_there_are_enough():
    assert len(COMMANDS) >= 200 and len({line for line, _ in COMMANDS}) == len(COMMANDS)
