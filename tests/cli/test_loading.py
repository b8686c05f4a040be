"""Loading of what the options of measuring name."""

import pytest

from infodiscard import InfodiscardError
from infodiscard.cli.loading import images_of, inputs_of, layers_of, load
from infodiscard.cli.options import Measuring
from pictures import write_pictures


def test_images_come_in_the_size_of_the_networks(place):
    networks = load(["net.py:plain"], Measuring())
    images = images_of("npz:good.npz", networks, Measuring(samples=2))
    assert list(networks) == ["plain"] and len(images) == 2 and images.images.shape[2:] == (8, 8)
    assert layers_of(networks, images, Measuring()) == {"plain": ("conv1", "conv2")}
    assert layers_of(networks, images, Measuring(layers=["relu,conv1"])) == {"plain": ("conv1", "relu")}


def test_images_of_several_sizes_get_a_usual_one_where_the_network_names_none(place, capsys):
    network = load(["net.py:unknown"], Measuring(mean="0,0,0", std="1,1,1"))
    write_pictures(place, "set/a.png", "set/b.png")
    assert images_of("folder:set", network, Measuring()).images.shape == (2, 3, 8, 10)
    assert capsys.readouterr().err.count("fewer than the 16") == 1
    write_pictures(place, "set/c.png", height=300, width=260)
    (place / "set" / "boxes.csv").write_text("name,x,y,width,height\na.png,2,2,4,4\nb.png,1,1,3,3\nd.png,1,1,3,3\n")
    images = images_of("folder:set", network, Measuring())
    assert images.images.shape == (3, 3, 224, 224) and images.options == {"size": "224x224"}
    said = capsys.readouterr()
    assert "Images are brought to 224x224: they differ in size" in said.out and "--size gives another" in said.out
    assert "that are not in 'set': 1, such as 'd.png'" in said.err and "1 of 3, such as 'c.png'" in said.err
    sized = load(["net.py:unknown"], Measuring(mean="0,0,0", std="1,1,1", size="16"))
    images = images_of("folder:set", sized, Measuring(annotations="set/boxes.csv"))
    assert images.images.shape == (3, 3, 16, 16) and "brought to" not in capsys.readouterr().out


def test_either_images_or_texts_are_named(place):
    networks = load(["net.py:plain"], Measuring(samples=1))
    images, options = inputs_of(networks, "npz:good.npz", None, False, Measuring(samples=1), ())
    assert len(images) == 1 and options.tau == "0.01"
    with pytest.raises(InfodiscardError, match="--data SPEC for images, or --text FILE"):
        inputs_of(networks, None, None, False, Measuring(), ())
    with pytest.raises(InfodiscardError, match="takes images, not text"):
        inputs_of(networks, None, place / "texts.txt", False, Measuring(), ())
