"""Makes the pictures of docs/gallery.md from the code that the page shows: python docs/gallery.py"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]*\]\(images/(gallery-[\w-]+\.png)\)")


def main() -> None:
    """Runs the page's code in an empty directory, and takes the pictures that the page shows."""
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "gallery"}
    with tempfile.TemporaryDirectory() as place:
        before = Path.cwd()
        os.chdir(place)
        try:
            for block in BLOCK.findall(text):
                exec(block, names)
            for name in PICTURE.findall(text):
                shutil.copy(name, DOCS / "images" / name)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
