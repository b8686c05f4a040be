"""Specs: parsed, and refused."""

from __future__ import annotations

import pytest

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.zoo.spec import Spec
from tiny import random_network


def test_specs_are_taken_apart() -> None:
    spec = Spec.parse("zoo:vgg16, width = 0.25,classes=5,size=64x48")
    assert (spec.kind, spec.name) == ("zoo", "vgg16")
    assert spec.options == {"width": "0.25", "classes": "5", "size": "64x48"}
    assert (spec.number("width", 1), spec.count("classes", 10), spec.size()) == (0.25, 5, (64, 48))
    plain = Spec.parse("timm:vit.augreg")
    assert (plain.kind, plain.name, plain.options, plain.size()) == ("timm", "vit.augreg", {}, None)
    assert (plain.number("width", 1), plain.count("classes", 10)) == (1, 10)
    assert Spec.parse("zoo:vgg16,size=40").size() == (40, 40) and Spec.parse("zoo:vgg16,size=40×32").size() == (40, 32)


@pytest.mark.parametrize(
    "options, message",
    [
        ("", r"'' in 'zoo:vgg16,' cannot be taken; options of 'zoo:vgg16' are width, classes, size, damage"),
        ("width", "'width' in 'zoo:vgg16,width' cannot be taken"),
        ("width=", "cannot be taken.*as key=value, as in 'zoo:vgg16,width=0.25'"),
        ("=3", "cannot be taken"),
        ("depth=3", "'depth=3' in"),
        ("width=1,width=2", "'width=2' in .* each once"),
        ("width=wide", "width was 'wide'; give a number above 0 and below a million, such as 1"),
        ("width=0", "width was '0'"),
        ("width=nan", "width was 'nan'"),
        ("classes=2.5", "classes was '2.5'; give a whole number, such as 10"),
        ("classes=-2", "classes was '-2'; give a number above 0"),
        ("classes=1e9", "below a million"),
        ("size=0x3", "size was '0x3'; give pixels as one number or as HEIGHTxWIDTH"),
        ("size=64x", "size was '64x'"),
        ("size=large", "size was 'large'"),
        ("size=²", "size was '²'"),
        ("size=64x31", "'vgg16' leaves nothing of images of 64×31 pixels; give a size of 32 or more"),
    ],
)
def test_bad_options(options: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        random_network(f"vgg16,{options}")


@pytest.mark.parametrize(
    "spec, message",
    [
        ("resnet20,width=0.5", "'resnet20' takes no options such as 'width=0.5'; .* as in 'zoo:vgg16,width=0.25'"),
        ("demo,width=0.5", "'demo' takes no options"),
        ("timm:resnet18,classes=3", "'timm:resnet18' takes no options"),
        ("torchvision:resnet18,width=2", "options of 'torchvision:resnet18' are classes, size"),
        ("torchvision:squeezenet1_1,classes=3", "no linear layer to replace; leave classes out"),
        ("zoo:autoencoder20,classes=3", "restores images and knows no classes"),
        ("zoo:alexnet,size=7", "give a size of 8 or more"),
    ],
)
def test_options_of_others(spec: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        zoo.load(spec, allow_random=True)
