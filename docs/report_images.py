"""Makes the example pages and the pictures of them that the documentation shows, from runs that are there.

    python docs/report_images.py DEMO DEPTH CARRIED SMALL

DEMO is the directory of `infodiscard demo --out DEMO`, DEPTH that of the two networks in report.md, CARRIED and SMALL
those of the tutorial. Needs playwright, and Chromium on the path or its path in CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from infodiscard.report import write_page

DOCS = Path(__file__).parent
WIDTH = 1440


def pictures(demo: str, depth: str, carried: str, small: str) -> None:
    """Writes `examples/*.html`, `images/report-*.png` and `images/tutorial-report.png`."""
    with TemporaryDirectory() as folder:
        flaw = write_page({"carried": carried, "small": small}, Path(folder) / "flaw.html")
        shots = [
            (write_page(demo, DOCS / "examples" / "demo-report.html"), "#maps", 980, "report-demo.png"),
            (write_page(depth, DOCS / "examples" / "depth-report.html"), "#answer", 1150, "report-comparison.png"),
            (flaw, "#answer", 900, "tutorial-report.png"),
        ]
        photograph(shots)


def photograph(shots: list[tuple[Path, str, int, str]]) -> None:
    """Takes pictures of pages: from which section on, how many pixels down, and the file's name in `images/`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for path, section, height, name in shots:
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
            page.goto(path.resolve().as_uri())
            page.wait_for_timeout(500)
            top = page.locator(section).bounding_box()["y"] if section != "#answer" else 0
            clip = {"x": 0, "y": top, "width": WIDTH, "height": height}
            page.screenshot(path=DOCS / "images" / name, full_page=True, clip=clip)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(f"usage: python docs/{Path(__file__).name} DEMO DEPTH CARRIED SMALL")
    pictures(*sys.argv[1:])
