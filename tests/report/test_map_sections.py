"""The sections about maps: sheets, the map over its image, differences, reconstructions."""

from dataclasses import replace

import pytest

from infodiscard.report import content, map_sections, packed_maps
from pages import SMALL, run_of_lines
from synthetic import make_run, shared_run


def read_and_packed(runs):
    read = content.read(runs)
    return read, packed_maps.pack(read)


def test_sheets_have_a_row_per_sample_and_say_what_they_show():
    read, packed = read_and_packed(shared_run(metrics=("sid", "ru"), pictures=True, **SMALL))
    sheets = map_sections.sheets(read, packed)
    assert list(sheets) == ["0|sid", "0|ru"]
    sheet = sheets["0|sid"]
    assert sheet.title == "SID reached of resnet20, all 6 samples" and sheet.rows[0].input
    assert sheet.size == (3 * map_sections.CELL, map_sections.CELL) and len(sheet.rows) == 6
    assert sheet.rows[0].name == "plane" and sheet.rows[0].alt.startswith("SID reached of test-00000: conv1 ")
    assert list(map_sections.reconstructions(read, packed)) == ["0"]


def test_lines_have_no_image_to_be_over():
    read, packed = read_and_packed(run_of_lines(("a", "b")))
    assert map_sections.reconstructions(read, packed) == {}
    sheet = map_sections.sheets(read, packed)["1|sid"]
    assert not any(row.input for row in sheet.rows)
    assert sheet.size == (map_sections.SHORTEST, 2 * map_sections.LINE)


def test_differences_have_a_scale_about_zero():
    assert map_sections.difference_scales(*read_and_packed(shared_run(**SMALL))) == {}
    pair = {"a": make_run(**SMALL), "b": make_run(seed=1, **SMALL)}
    scale = map_sections.difference_scales(*read_and_packed(pair))["sid"]
    assert scale.low == f"−{scale.high}" and scale.ends == ("the first named keeps more", "it discards more")


@pytest.mark.parametrize(("samples", "text"), [(1, "its one sample"), (2, "all 2 samples")])
def test_the_number_of_samples_in_words(samples, text):
    read, packed = read_and_packed(make_run(**SMALL | {"samples": samples}))
    assert map_sections.about(read, packed)[0] == f"resnet20: {text}, every pixel."


def test_layers_that_differ_have_their_ends_at_their_names():
    read, packed = read_and_packed(shared_run(metrics=("sid", "ru"), pictures=True, **SMALL))
    bar, whole = map_sections.scales(read, packed)["sid"], map_sections.whole_scales(read, packed)["sid"]
    assert (bar.low, bar.high) == ("low", "high") and "a scale for each layer" in bar.text and "one scale" in whole.text
    ends = map_sections.sheets(read, packed)["0|sid"].ends
    assert len(ends) == 3 and ends[0] == "…".join(
        f"{end:.2f}".replace("-", "−") for end in packed.scales["sid"].layers["conv1"]
    )
    same = packed.scales["sid"]._replace(own=False)
    assert "one scale for all networks" in map_sections.scales(read, replace(packed, scales={"sid": same}))["sid"].text
