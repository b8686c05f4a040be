"""Pages of HTML as tests read them, the pictures inside, and names that try to be more than texts."""

import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from infodiscard.api.run import Run
from synthetic import RESNET, make_images, make_plan, values_of

SMALL = {"layers": RESNET[:3], "samples": 6, "size": 6}
VOID = ("meta", "img", "input", "br")
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "a\"b'c",
    "\u2028$policy{{ 7 * 7 }}&amp;",
    "x\x00y",
)


def hostile_run(names=HOSTILE):
    """A run all of whose names are hostile."""
    plan = make_plan(networks=names[:2], layers=names, samples=len(names), size=6, noise_on=names[0])
    more = {"samples": names, "classes": names, "labels": tuple(range(len(names)))}
    run = Run.create(type(plan)(**vars(plan) | more), images=make_images(plan)[0])
    for unit in run.pending():
        run.write(unit, values_of(run.plan, unit))
    return run


def run_of_lines(networks=("a",)):
    """A run whose maps are lines; later networks have more."""
    plan = make_plan(networks=networks, samples=3, size=5, layers=RESNET[:2])
    run = Run.create(type(plan)(**vars(plan) | {"kind": "tokens", "height": 1}))
    values = np.linspace(0, 1, 15, dtype=np.float32).reshape(3, 5)
    for unit in run.pending():
        more = values + networks.index(unit.network) * 0.5
        run.write(unit, {"sid": more.mean(1), "sid_map": more, "converged": np.ones(3, bool)})
    return run


class Page(HTMLParser):
    """Collects the tags and texts of a page, given as a file or as text, and checks that every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open, self.inside = [], [], [], {}
        self.feed(page.read_text(encoding="utf-8") if isinstance(page, Path) else page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.inside.setdefault(self.open[-1], []).append(data)
        elif text := re.sub(r"[ \n]+", " ", data).strip():
            self.texts.append(text)

    @property
    def text(self):
        return " ".join(self.texts)

    @property
    def data(self):
        """What the script reads."""
        return json.loads(self.inside["script"][0])

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def codes(url):
    """The codes of an indexed PNG, and its colours."""
    picture = Image.open(BytesIO(b64decode(url.split(",")[1])))
    return np.asarray(picture), picture


def run_of_texts(networks=("a",)):
    """A run of three short texts, one of them with names that try to be more than texts."""
    plan = make_plan(networks=networks, samples=3, size=5, layers=RESNET[:2])
    more = {
        "kind": "tokens",
        "height": 1,
        "tokens": (
            ("[CLS]", "splen", "did", f" {HOSTILE[0]}", "[SEP]"),
            ("[CLS]", "a", "", " \x01", "[SEP]"),
            ("x",) * 5,
        ),
        "words": ((-1, 0, 0, 1, -1), (-1, 0, 0, 1, -1), (0, 0, 0, 0, 0)),
        "samples": (f"1: splendid {HOSTILE[1]}", "2", "3"),
    }
    run = Run.create(type(plan)(**vars(plan) | more))
    for unit in run.pending():
        values = np.random.default_rng(len(unit.layer)).normal(size=(3, 5)).astype(np.float32)
        run.write(unit, {"sid": values.mean(1), "sid_map": values, "converged": np.ones(3, bool)})
    return run
