"""Benchmark of the report: its size, the time to write it, and the time of a reader's actions in a browser.

    python benchmarks/report.py --samples 1000 --size 32

The values are noise, the worst kind for packing. Needs playwright and chromium (on the path, or its path in
CHROMIUM). An interaction is timed in the browser, from the event to the frame after it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from infodiscard.api.run import Run
from infodiscard.core.settings import Settings
from infodiscard.report import write_page
from infodiscard.results.plan import Plan

LIMIT = 200  # milliseconds
ACTIONS = {  # a reader's action → its script, a function of the number of the repeat
    "hide a network": "n => document.querySelectorAll('.legend button')[n % 2].click()",
    "choose a curve": "n => choose('curves', 'metric', n)",
    "read a layer": "n => document.querySelector('.curve').dispatchEvent("
    "new KeyboardEvent('keydown', {key: n % 2 ? 'ArrowRight' : 'ArrowLeft'}))",
    "sort a table": "n => document.querySelectorAll('#values thead button')[n % 5].click()",
    "choose a pair": "n => choose('differences', 'pair', n)",
    "choose a sheet of maps": "n => choose('maps', 'network', n)",
    "slide through layers": "n => slide('layer', n)",
    "change the opacity": "n => slide('opacity', 10 * n)",
    "subtract other maps": "n => choose('map-differences', 'pair', n)",
}
HELPERS = """() => {
  window.choose = (section, name, n) => {
    const list = document.querySelector(`#${section} [name=${name}]`);
    list.selectedIndex = n % list.options.length;
    list.dispatchEvent(new Event('change'));
    return section === 'map-differences' ? document.querySelector('.difference') : null;
  };
  window.slide = (name, n) => {
    const slider = document.querySelector(`#over [name=${name}]`);
    slider.value = n % (Number(slider.max) + 1);
    slider.dispatchEvent(new Event('input'));
  };
  window.timed = async (action, n) => {
    const start = performance.now(), place = action(n);
    if (place instanceof Node) {
      await new Promise((done) => new MutationObserver(done).observe(place, {childList: true}));
    }
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
  };
}"""


def noise_run(samples: int, size: int, networks: int, layers: int, metrics: list[str]) -> Run:
    """Makes a run in memory whose maps are noise."""
    names = tuple(f"network {i}" for i in range(networks))
    plan = Plan(
        networks=names,
        layers={name: tuple(f"stage{i}.block" for i in range(layers)) for name in names},
        samples=tuple(f"sample {i}" for i in range(samples)),
        height=size,
        width=size,
        channels=3,
        settings=Settings(metrics=tuple(metrics)),
        block=min(samples, 16),
    )
    rng = np.random.default_rng(0)
    run = Run.create(plan, images=rng.random((samples, 3, size, size), dtype=np.float32))
    for unit in run.pending():
        n = unit.stop - unit.start
        values = {"converged": np.ones(n, bool), "ru_converged": np.ones(n, bool), "ru_floor": np.zeros(n)}
        values["reconstruction"] = rng.random((n, 3, size, size), dtype=np.float32)
        for metric in metrics:
            values[f"{metric}_map"] = rng.normal(size=(n, size, size)).astype(np.float32)
            values[metric] = values[f"{metric}_map"].mean((1, 2))
        if "ru" not in metrics:
            values = {name: each for name, each in values.items() if not name.startswith(("ru", "recon"))}
        run.write(unit, values)
    return run


def timings(path: Path, times: int = 8) -> tuple[float, dict[str, list[float]]]:
    """Returns how long the page takes to load, and each action `times` times, in milliseconds."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector(".difference canvas", state="attached")
        loaded = 1000 * (time.perf_counter() - start)
        page.evaluate(HELPERS)
        measured = {}
        for name, script in ACTIONS.items():
            measured[name] = [page.evaluate(f"timed({script}, {n})") for n in range(1, times + 1)]
        browser.close()
    return loaded, measured


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--metrics", default="sid")
    options = parser.parse_args()
    run = noise_run(options.samples, options.size, options.networks, options.layers, options.metrics.split(","))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = write_page(run, Path(folder) / "page.html")
        print(f"written in {time.perf_counter() - start:.1f} s, {path.stat().st_size / 1e6:.2f} MB")
        loaded, measured = timings(path)
    print(f"loaded in {loaded:.0f} ms")
    for name, each in measured.items():
        verdict = "" if max(each) < LIMIT else f"   more than {LIMIT} ms"
        print(f"{name:<24} median {np.median(each):5.0f} ms, longest {max(each):5.0f} ms{verdict}")


if __name__ == "__main__":
    main()
