"""The page of all studies: every verdict, every figure inside, nothing asked for, texts that stay texts."""

import re

from infodiscard.experiments.findings import GIVEN
from infodiscard.experiments.study_page import write_study_page

HOSTILE = '<script>alert(1)</script> & "a"'


def record(verdict, text="It is so.", figures=()):
    claim = {"text": text, "verdict": verdict, "statistic": "+1.0", "change": "Much."}
    about = {
        "command": "infodiscard reproduce x",
        "seconds": 1.2,
        "profile": "cpu",
        "date": "2026-01-01",
        "versions": {},
    }
    return {
        "study": "x",
        "title": "is it so?",
        "claims": [claim],
        "notes": ["A note."],
        "figures": list(figures),
        **about,
    }


def test_the_page_holds_all_of_a_folder(tmp_path):
    from infodiscard.experiments.figures import panels

    figure, _ = panels(1)
    (tmp_path / "flaws").mkdir()
    figure.savefig(tmp_path / "flaws" / "flaws.png")
    flaws = record("holds", figures=["flaws", "lost"]) | {"given": record("cannot tell", HOSTILE)}
    page = write_study_page(tmp_path, {"flaws": flaws, "epochs": record("does not hold")})
    text = page.read_text()
    assert "3 verdicts: 1 holds, 1 cannot tell, 1 does not hold." in text and "Fig. 4a" in text and "Fig. 5b" in text
    assert text.count("<strong>cannot tell</strong>") == 2 and text.count(">given<") == 1 and GIVEN in text
    assert "<script" not in text and text.count("&lt;script&gt;") == 2
    assert len(re.findall(r'src="data:image/png;base64,', text)) == 1 and "default-src &#39;none&#39;" in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
