"""The report in a real browser: every control, by mouse and keyboard; what it asks for; whether it can be read."""

import json
import os
import re
import shutil
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from infodiscard.report import colours, packed_maps, write_page
from pages import HOSTILE as EVERY_NAME
from pages import hostile_run, run_of_lines
from synthetic import RESNET, make_run

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra infodiscard[dev])")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the path, or its path in CHROMIUM")

HOSTILE = EVERY_NAME[:4]  # the last holds a character that no page may hold


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        launched = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages that the tests look at."""
    folder = tmp_path_factory.mktemp("pages")
    both = {"layers": RESNET[:3], "samples": 6, "size": 8, "metrics": ["sid", "ru"], "pictures": True, "masks": True}
    pair = {"first": make_run(networks=("a",), **both), "second": make_run(networks=("b",), seed=3, shift=0.1, **both)}
    third = make_run(networks=("c",), **both | {"metrics": ["sid"], "layers": RESNET[1:3]})
    hostile, lines = hostile_run(HOSTILE), run_of_lines(("a", "b"))
    many = make_run(samples=1000, size=4, layers=RESNET[:2], block=1000, networks=("a", "b"), pictures=True)
    pages = {"pair": {**pair, "third": third}, "hostile": hostile, "lines": lines, "many": many}
    return {name: write_page(runs, folder / f"{name}.html") for name, runs in pages.items()}, pair


@pytest.fixture
def open_page(browser, files):
    """Opens a page by its name; at the end nothing may have gone wrong, and nothing been asked for but the file."""
    contexts, seen = [], {"errors": [], "requests": []}

    def opened(name, width=1200, settle=True, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page, address = context.new_page(), files[0][name].as_uri()
        page.on("console", lambda message: seen["errors"].append(message.text))
        page.on("pageerror", lambda error: seen["errors"].append(str(error)))
        page.on("dialog", lambda dialog: seen["errors"].append(dialog.message))
        page.on("request", lambda request: seen["requests"].append(request.url))
        page.goto(address)
        if settle and page.locator(".difference").count():
            page.wait_for_selector(".difference canvas, .difference p")
        return page

    yield opened
    for context in contexts:
        context.close()
    left = [url for url in seen["requests"] if not url.startswith(("data:", "file:"))]
    assert seen["errors"] == [] and left == []
    assert sum(url.startswith("file:") for url in seen["requests"]) == len(contexts)


def visible(page, selector):
    return [item for item in page.locator(selector).all() if item.is_visible()]


def pixels(page, selector, place=0):
    """The bytes of a canvas, `height × width × 4`."""
    url = page.locator(selector).nth(place).evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(BytesIO(b64decode(url.split(",")[1]))).convert("RGBA"))


def codes(page, key):
    """The codes of a strip of maps, and their colours."""
    source = page.locator(f'img[data-strip="{key}"]').get_attribute("src")
    picture = Image.open(BytesIO(b64decode(source.split(",")[1])))
    return np.asarray(picture).astype(int), np.array(picture.getpalette()).reshape(-1, 3)


# -- controls --------------------------------------------------------------------------------------------------------


def test_the_legend_hides_a_network_in_every_curve_and_in_the_readout(open_page):
    page = open_page("pair")
    button, series = page.locator(".legend button").nth(1), page.locator('#curves .series[data-entry="1"]').first
    assert series.is_visible() and button.get_attribute("aria-pressed") == "true"
    page.locator("#curves svg[role=img]").first.hover(position={"x": 110, "y": 60})  # above the first layer
    readout = page.locator("#curves .readout").first
    assert "first " in readout.inner_text() and "second " in readout.inner_text() and "conv1:" in readout.inner_text()
    button.click()
    assert not series.is_visible() and button.get_attribute("aria-pressed") == "false"
    assert "first " in readout.inner_text() and "second " not in readout.inner_text()
    button.focus()
    page.keyboard.press("Space")
    assert series.is_visible() and "second " in readout.inner_text()


def test_a_curve_is_read_by_keyboard(open_page):
    page = open_page("pair")
    page.locator("#curves .curve").first.focus()
    readout, said = page.locator("#curves .readout").first, []
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home"):
        page.keyboard.press(key)
        said.append(readout.inner_text().split(":")[0])
    assert said == ["conv1", "layer1.0", "layer1.1", "layer1.1", "layer1.0", "conv1"]
    assert (
        "nats/pixel (n = 6" in readout.inner_text()
        and page.locator("#curves .cursor").first.get_attribute("hidden") is None
    )


@pytest.mark.parametrize("section", ["curves", "differences", "maps", "restored"])
def test_lists_choose_what_is_shown(open_page, section):
    page = open_page("pair")
    lists = page.locator(f"#{section} select")
    seen = set()
    for number in range(lists.count()):
        for value in lists.nth(number).locator("option").evaluate_all("options => options.map(each => each.value)"):
            lists.nth(number).select_option(value)
            key = "|".join(item.input_value() for item in lists.all())
            shown = [item.get_attribute("data-key") for item in visible(page, f"#{section} .panel")]
            assert shown in ([key], [])
            assert page.get_by_text("This network has none of this measure").locator("visible=true").count() == (
                not shown
            )
            seen.add(key)
    assert len(seen) > 1
    lists.first.focus()
    before = lists.first.input_value()
    page.keyboard.press("ArrowUp")
    assert lists.first.input_value() != before


def test_a_map_over_its_image(open_page):
    page = open_page("pair")
    over, status = page.locator("#over"), page.locator("#over [role=status]")
    says = playwright.expect(status).to_contain_text  # waits for it
    says("SID reached of first, layer1.1, plane (test-00000): mean ")
    slider, opacity = over.locator("[name=layer]"), over.locator("[name=opacity]")
    opacity.fill("100")
    strip, palette = codes(page, "0|sid|0")
    for layer, name in ((1, "layer1.0"), (0, "conv1")):
        slider.focus()
        page.keyboard.press("ArrowLeft")
        says(f", {name},")
        assert slider.get_attribute("aria-valuetext") == name
        drawn = pixels(page, "#over canvas")[28::56, 28::56, :3]  # the middle of each of 8 × 8 pixels
        wanted = palette[strip[:, 9 * layer : 9 * layer + 8]]
        assert (np.abs(drawn.astype(int) - wanted).max(-1) <= 2).mean() > 0.7  # the rest is the object's border
    opacity.focus()
    page.keyboard.press("Home")
    playwright.expect(over.locator("canvas")).to_have_attribute("aria-label", re.compile("at 0 % opacity"))
    bare = pixels(page, "#over canvas")
    over.locator("[name=sample]").select_option("3")
    says("test-00003")
    assert (pixels(page, "#over canvas") != bare).any()
    over.locator("[name=network]").select_option("2")  # which has two of the three layers, and no RU
    says("third")
    assert slider.get_attribute("max") == "1" and over.locator("[name=sample]").input_value() == "3"
    over.locator("[name=metric]").select_option("ru")
    says("not measured")


def test_differences_of_maps_are_those_of_the_maps(open_page, files):
    page, pair = open_page("pair"), files[1]
    data, table = json.loads(page.locator("#data").text_content()), colours.table(colours.DIVERGING).astype(int)
    limit, scales = data["limits"]["sid"], data["scales"]["sid"]["layers"]
    low, high = (
        np.repeat([scales[layer][end] for layer in data["layers"]], 9)[None] for end in (0, 1)
    )  # maps with gaps
    assert data["scales"]["sid"]["own"]
    for place, row in ((0, 0), (5, 5)):
        a, b = codes(page, f"0|sid|{row}")[0], codes(page, f"1|sid|{row}")[0]
        share = ((b - a) / 254 * (high - low) / limit).clip(-1, 1)
        drawn = pixels(page, ".difference canvas", place)
        known = a != packed_maps.NOTHING
        assert (drawn[..., 3] == np.where(known, 255, 0)).all() and known.sum() == 3 * 64
        np.testing.assert_allclose(drawn[known][:, :3], table[((share + 1) * 127).round().astype(int)][known], atol=6)
    # Against what was measured: the mean difference of a sample and layer.
    measured = [run.dataset["sid"].values[0, :, 0] for run in pair.values()]
    said = page.locator(".difference canvas").first.get_attribute("aria-label")
    assert f"conv1 {measured[1][0] - measured[0][0]:.3f}".replace("-", "−") in said
    before = pixels(page, ".difference canvas")
    page.locator("#map-differences [name=metric]").select_option("ru")
    playwright.expect(page.locator(".difference caption")).to_contain_text("RU of second")
    assert (pixels(page, ".difference canvas") != before).any()
    page.locator("#map-differences [name=pair]").select_option("1")  # one of which has no RU
    page.wait_for_selector(".difference p")
    page.locator("#map-differences [name=metric]").select_option("sid")
    page.wait_for_selector(".difference canvas")
    assert page.locator(".difference thead th").all_inner_texts() == ["sample", "layer1.0", "layer1.1"]


def test_tables_are_sorted_by_number_and_by_letter(open_page):
    page = open_page("pair")
    table = page.locator("#values table").first

    def column(number):
        return table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()

    layers, numbers = column(2), column(4)
    head = table.locator("thead th").nth(3)
    head.locator("button").click()
    values = [float(text.replace("−", "-")) for text in column(4)]
    assert values == sorted(values) and column(4) != numbers and head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert column(4) == [*reversed(sorted(numbers, key=lambda text: float(text.replace("−", "-"))))]
    assert head.get_attribute("aria-sort") == "descending"
    table.locator("thead button").nth(1).click()
    assert column(2) == sorted(layers) and head.get_attribute("aria-sort") is None


def test_a_map_is_seen_large_by_mouse_and_by_keyboard(open_page):
    page = open_page("pair")
    dialog, title = page.locator("dialog"), page.locator("#large-title")
    strip = page.locator("#maps .strip button").nth(1)
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] / 2, "y": box["height"] / 2})  # the middle one of three layers
    says = playwright.expect(title).to_contain_text
    says("SID reached of first, layer1.0, car (test-00001): mean ")
    assert dialog.is_visible() and dialog.locator("canvas").count() == 2
    strip_codes, palette = codes(page, "0|sid|1")
    drawn = pixels(page, "dialog canvas", 1)[56::112, 56::112, :3].astype(int)
    assert (np.abs(drawn - palette[strip_codes[:, 9:17]]).max(-1) <= 2).mean() > 0.7  # the rest is the object's border
    assert (pixels(page, "dialog canvas", 0)[..., :3] == 255).all(-1).any()  # which is on the input, too
    page.keyboard.press("ArrowRight")
    says("layer1.1")
    page.keyboard.press("ArrowDown")
    says("test-00002")
    dialog.get_by_text("← layer").click()
    says("layer1.0")
    page.keyboard.press("Escape")
    assert not dialog.is_visible() and strip.evaluate("each => each === document.activeElement")
    page.keyboard.press("Enter")
    says("conv1")
    dialog.get_by_text("Close").click()
    assert not dialog.is_visible()


def test_layers_can_be_put_on_one_scale(open_page):
    page = open_page("pair")
    ends, bars = page.locator("#maps .ends").first, page.locator("#maps .panel:not([hidden]) .scale")
    assert ends.is_visible() and [bar.is_visible() for bar in bars.all()] == [True, False]
    page.locator("[name=whole]").check()
    page.wait_for_selector("#maps .panel:not([hidden]) .framed canvas")
    assert not ends.is_visible() and [bar.is_visible() for bar in bars.all()] == [False, True]
    scales = json.loads(page.locator("#data").text_content())["scales"]["sid"]
    own, palette = codes(page, "0|sid|0")
    low, high = scales["layers"]["conv1"]
    value = low + own[:, :8] / 254 * (high - low)
    code = ((value - scales["whole"][0]) / np.ptp(scales["whole"])).clip(0, 1) * 254
    drawn = pixels(page, "#maps .framed canvas")[:, :8, :3]
    np.testing.assert_allclose(drawn, palette[code.round().astype(int)], atol=6)
    page.locator("[name=whole]").uncheck()
    assert ends.is_visible() and page.locator("#maps .framed canvas").count() == 0


# -- names, lines, sizes ---------------------------------------------------------------------------------------------


def test_names_are_shown_as_they_are_and_run_nothing(open_page):
    page = open_page("hostile")
    assert page.evaluate("document.scripts.length") == 2 and page.locator("img[src=x]").count() == 0
    assert HOSTILE[0] in page.title() and HOSTILE[1] in page.locator("h1").inner_text()
    page.locator("#curves .curve").first.focus()
    for name in HOSTILE:
        page.keyboard.press("ArrowRight")
        text = page.locator("#curves .readout").first.evaluate("readout => readout.textContent")
        assert text.startswith(f"{name}:") and HOSTILE[0] in text and HOSTILE[1] in text
    page.locator("#over [name=network]").select_option("1")
    playwright.expect(page.locator("#over [role=status]")).to_contain_text("alert(2)")
    assert page.locator("#over [name=sample] option").evaluate_all("all => all.map(o => o.textContent)") == [*HOSTILE]
    heads = page.locator(".difference thead th").evaluate_all("all => all.map(each => each.textContent)")
    assert heads == ["sample", *HOSTILE] and page.evaluate("document.scripts.length") == 2


def test_maps_that_are_lines_and_their_differences(open_page):
    page = open_page("lines")
    assert page.locator("#over").count() == 0 and len(visible(page, "#maps tbody img")) == 3
    drawn = pixels(page, ".difference canvas")
    assert drawn.shape == (2, 5, 4) and len(np.unique(drawn.reshape(-1, 4), axis=0)) <= 2  # the same everywhere
    assert page.locator(".difference li").first.inner_text() == "conv1" and "nats/token" in page.inner_text("body")


def test_a_page_of_many_samples_stays_small(open_page):
    page = open_page("many")
    assert page.evaluate("document.querySelectorAll('*').length") < 1200
    assert page.evaluate("document.images.length") < 100 and page.locator("canvas").count() <= 17
    assert "16 of 1000 samples, evenly spaced" in page.inner_text("#maps")


# -- for everyone ----------------------------------------------------------------------------------------------------

CONTRAST = """() => {
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255)).reduce(
    (sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (at) => {
    for (; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const at of document.body.querySelectorAll("*")) {
    const own = [...at.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !at.checkVisibility() || ["SCRIPT", "OPTION", "NOSCRIPT"].includes(at.tagName)) continue;
    const style = getComputedStyle(at), a = light(colour(at.closest("svg") ? style.fill : style.color));
    const b = light(ground(at));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push([at.tagName, at.textContent.slice(0, 30), ratio]);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_and_axe_finds_nothing_serious(open_page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = open_page("pair", color_scheme=scheme, bypass_csp=True)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) == []
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", ["pair", "hostile", "lines"])
def test_nothing_runs_out_of_a_narrow_screen(open_page, name):
    page = open_page(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    wide = "region => [region.scrollWidth > region.clientWidth + 1, region.previousElementSibling.checkVisibility()]"
    hints = [page.evaluate(wide, region.element_handle()) for region in page.locator(".scroll:visible").all()]
    assert [True, True] in hints and all(wider == said for wider, said in hints)  # and only there


def test_every_control_has_a_name_and_is_reached_by_tab(open_page):
    page = open_page("pair")
    expected = page.locator("a, button, select, input, [tabindex='0'], summary").evaluate_all(
        "all => all.filter(each => each.checkVisibility()).length"
    )
    script = """() => { const at = document.activeElement;
      const name = at.ariaLabel || at.textContent || at.labels?.[0]?.textContent || "";
      return at === document.body ? null : name.trim() }"""
    names = []
    for _ in range(expected):
        page.keyboard.press("Tab")
        names.append(page.evaluate(script))
    assert all(names) and "Skip to the answer" in names[0]


def test_without_scripts_there_are_curves_tables_and_maps(open_page):
    page = open_page("pair", settle=False, java_script_enabled=False)
    assert len(visible(page, "#curves svg[role=img]")) == 4 and len(visible(page, "#differences table")) == 8
    assert len(visible(page, "#maps tbody img")) > 30 and not visible(page, "select, .readout, canvas")
    assert len([each for each in visible(page, "noscript") if "needs JavaScript" in each.inner_text()]) == 2


def test_on_paper_there_are_no_controls(open_page):
    page = open_page("pair", color_scheme="dark", width=794)  # A4
    page.emulate_media(media="print")
    assert not visible(page, "nav, select, .readout.js-only") and visible(page, "#curves svg[role=img]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    widths = "all => all.filter(each => each.checkVisibility()).map(each => each.getBoundingClientRect().right)"
    assert max(page.locator("table.sortable").evaluate_all(widths)) <= 794
