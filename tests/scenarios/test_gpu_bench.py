"""What `make gpu` does, on a CPU with a tiny network: every part of it but the GPU."""

import json
import time
from pathlib import Path

import pytest
import torch
from benchmarks import gpu


def cpu(**changes):
    return gpu.Options(**{"device": torch.device("cpu"), "tiny": True, "seconds": 0.0, "deadline": 1e99, **changes})


def test_figures_are_found_kept_and_written_into_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(gpu.LAYERS, "resnet20", ("layer1",))
    monkeypatch.setattr(gpu, "able", lambda device: ("fp32",))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{gpu.BEGIN}\nold\n{gpu.END}\nafter\n")
    options = ["--device", "cpu", "--size", "tiny", "--parts", "ours", "table", "--out", str(tmp_path / "gpu.json")]
    assert gpu.main([*options, "--page", str(page)]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    (ours,), table = found["ours"], found["table"]
    assert ours["rate"] > 0 and ours["solve"] > 0 and ours["batch"] in (2, 4) and not ours["failures"]
    assert [cell["format"] for cell in table] == ["contiguous", "channels_last"]
    assert all(cell["rate"] > 0 for cell in table) and found["plan"] is None
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| resnet20 | layer1 | full |" in text and text.count("| resnet20 | layer1 | fp32 |") == 2
    assert "resnet20" in capsys.readouterr().out


def test_what_fails_or_is_late_says_why_and_takes_nothing_with_it():
    cell = {"network": "resnet20", "layer": "nowhere", "precision": "fp32", "format": "contiguous"}
    assert "nowhere" in gpu.timed("zoo:resnet20", cell, "eager", cpu())["why"]
    late = cpu(deadline=time.monotonic() - 1)
    assert gpu.timed("zoo:resnet20", cell, "eager", late) == {"why": "no time was left"}
    rows = [*gpu.ours(late)]
    assert rows and all(row["why"] == "no time was left" for row in rows)
    text = gpu.markdown({"machine": {"device": "cpu"}, "table": [cell | {"execution": "eager", "why": "a|b"}]})
    assert "| – | a/b | – |" in text


def test_the_best_batch_is_the_smallest_that_is_nearly_the_fastest(monkeypatch):
    rates = {32: 100.0, 64: 200.0, 128: 202.0, 256: 900.0}
    monkeypatch.setattr(gpu, "rate", lambda step, count, options: rates[count])
    assert gpu.best(lambda batch: lambda: None, cpu(tiny=False)) == {"batch": 128, "rate": 202.0}

    def short(step, count, options):
        if count > 32:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 5.0

    monkeypatch.setattr(gpu, "rate", short)
    assert gpu.best(lambda batch: lambda: None, cpu(tiny=False)) == {"batch": 32, "rate": 5.0}


def test_the_plan_is_that_of_the_stages():
    rows = [{"layer": layer, "precision": "full", "solve": 1000.0} for layer in gpu.STAGES]
    passes = 3 * 75 + 4 * 103 + 9 * 600
    assert gpu.plan(rows) == {"full": pytest.approx(50_000 * passes / 1000 / 0.9 / 3600)}
    assert gpu.plan(rows[1:]) is None


def test_without_a_gpu_it_says_so(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.main([]) == 2 and "no GPU" in capsys.readouterr().err


def test_the_page_has_room_for_the_figures():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert page.count(gpu.BEGIN) == page.count(gpu.END) == 1 and page.index(gpu.BEGIN) < page.index(gpu.END)
