"""The hub: directories and names of models, and errors of transformers in one sentence."""

import sys
from types import SimpleNamespace

import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.networks.hub import hub_errors, library, located, quiet


def test_a_directory_or_a_name_is_located(tmp_path):
    assert located(str(tmp_path)) == str(tmp_path)
    assert located("acme/net-1.5") == "acme/net-1.5"


@pytest.mark.parametrize(("place", "message"), [("/nowhere/at/all", "There is no directory"), ("", "There is no dir")])
def test_what_is_neither_is_refused(place, message):
    with pytest.raises(InfodiscardError, match=message):
        located(place)


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "net.bin").touch()
    with pytest.raises(InfodiscardError, match="is a file; give one that save_pretrained wrote"):
        located(str(tmp_path / "net.bin"))


@pytest.mark.parametrize(
    ("error", "file", "message"),
    [
        (OSError("gone."), "absent.json", "has no absent.json; save there the model"),
        (ValueError("bad\nand more"), "config.json", r"cannot be used \(bad\); save it again"),
        (ImportError("set trust_remote_code"), "config.json", "needs code of its own, which is not run"),
    ],
)
def test_errors_about_a_directory_become_one_sentence(tmp_path, error, file, message):
    (tmp_path / "config.json").touch()
    with pytest.raises(InfodiscardError, match=message) as caught, hub_errors(tmp_path, file, "the model"):
        raise error
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error


def test_other_errors_pass():
    with pytest.raises(InfodiscardError, match=r"^ours$"), hub_errors("acme/net", "config.json", "the model"):
        raise InfodiscardError("ours")
    offline = pytest.raises(InfodiscardError, match=r"no such model can be fetched from the .* hub \(offline\)")
    with offline, hub_errors("acme/net", "config.json", "the model"):
        raise OSError("offline")
    with pytest.raises(ZeroDivisionError), hub_errors("acme/net", "config.json", "the model"):
        raise ZeroDivisionError


@pytest.mark.parametrize("bars", [True, False])
def test_quiet_puts_verbosity_and_bars_back(bars):
    calls = []
    logging = SimpleNamespace(
        get_verbosity=lambda: 20,
        is_progress_bar_enabled=lambda: bars,
        set_verbosity_error=lambda: calls.append("error"),
        disable_progress_bar=lambda: calls.append("no bar"),
        set_verbosity=calls.append,
        enable_progress_bar=lambda: calls.append("bar"),
    )
    with pytest.raises(KeyError), quiet(SimpleNamespace(utils=SimpleNamespace(logging=logging))):
        raise KeyError
    assert calls == ["error", "no bar", 20, *["bar"] * bars]


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[transformers\]'"):
        library()
