"""Which annotation belongs to which picture."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from infodiscard.data.sources.annotations.match import match
from infodiscard.errors import InfodiscardError


@pytest.mark.parametrize(
    ("picture", "written"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "a.png"),
        ("a.jpg", "a"),
        ("a.v2.jpg", "a.v2"),
        ("cat/a.jpg", "a.jpg"),
        ("cat/a.jpg", "/home/me/set/cat/a.jpg"),
        ("cat/a.jpg", r"set\cat\a.png"),
        ("a.jpg", "./a.jpg"),
        ("a b (1).jpg", "val/a b (1)"),
        (normalize("NFD", "Ägypten/café.jpg"), normalize("NFC", "Ägypten/café.xml")),
        (normalize("NFC", "日本/が.jpg"), normalize("NFD", "が.jpg")),
        (r"caf\xe9.png", r"caf\xe9.png"),
    ],
)
def test_one_picture_under_two_names(picture: str, written: str) -> None:
    assert match([picture, "other.jpg"], ["absent.jpg", written], "x") == {picture: written}


@pytest.mark.parametrize(
    ("picture", "written"), [("cat/a.jpg", "dog/a.jpg"), ("a.jpg", "A.jpg"), ("ba.jpg", "a.jpg"), ("a.v2", "a.v1")]
)
def test_different_pictures(picture: str, written: str) -> None:
    assert match([picture], [written], "x") == {}


def test_the_nearest_name_wins() -> None:
    assert match(["a.jpg", "a.png"], ["a.png"], "x") == {"a.png": "a.png"}
    assert match(["cat/a.jpg", "a.jpg"], ["a.jpg", "cat/a"], "x") == {"cat/a.jpg": "cat/a", "a.jpg": "a.jpg"}


def test_names_that_fit_several() -> None:
    with pytest.raises(InfodiscardError, match=r"'a' in 'x' may be 'cat/a.jpg' or 'dog/a.jpg'; write the path"):
        match(["cat/a.jpg", "dog/a.jpg"], ["a"], "x")
    with pytest.raises(InfodiscardError, match=r"'train/a.jpg' and 'val/a.jpg' in 'x' may both be 'a.jpg'"):
        match(["a.jpg"], ["train/a.jpg", "val/a.jpg"], "x")


def test_ten_thousand_names_are_matched_by_their_ends() -> None:
    names = [f"{i % 7}/{i}.jpg" for i in range(10_000)]
    assert match(names, [f"data/{name}" for name in names], "x") == {name: f"data/{name}" for name in names}
