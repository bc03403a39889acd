"""Methods by name: the package's, a file's, and those that installed packages offer."""

from pathlib import Path

import pytest

from maquette.errors import InputError
from maquette.methods.iscene import ISCENE
from maquette.methods.lookup import METHODS, find_method, installed_method
from maquette.pipeline import Options, generate, regenerate
from tests.tiny import write_photo

EXAMPLE = Path(__file__).parents[2] / "examples" / "07_your_own_method.py"
PLUGIN = """
from dataclasses import replace
from maquette.methods.independent import INDEPENDENT
RUNS = []
PLAIN = replace(INDEPENDENT, name="plain")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that offers methods, one good and two broken."""
    (tmp_path / "plain_methods.py").write_text(PLUGIN)
    info = tmp_path / "plain_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[maquette.methods]\nplain = plain_methods:PLAIN\n"
        "gone = plain_methods:GONE\nlist = plain_methods:RUNS\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_name_is_one_of_the_package():
    assert find_method("iscene") is ISCENE and installed_method("iscene") is METHODS["iscene"]
    with pytest.raises(InputError, match=r"unknown method 'magic'; choose from iscene, .*FILE"):
        find_method("magic")


def test_a_file_runs_without_being_installed_and_is_run_once(tiny_weights, tmp_path):
    reference = f"{EXAMPLE}:BOXES"
    photo = write_photo(tmp_path)
    scene = generate(*photo, method=reference, weights=tiny_weights, device="cpu", fit=False)
    assert len(scene.instances) == 2 and scene.provenance["method"] == "boxes"
    assert find_method(reference) is Options(method=reference).chosen
    given = {"weights": tiny_weights, "device": "cpu", "fit": False}
    again = regenerate(scene, 1, seed=3, method=reference, **given)
    assert again[1].seed != scene[1].seed
    with pytest.raises(InputError, match="unknown method 'boxes'"):
        regenerate(scene, 1, seed=3, **given)


def test_names_of_documents_run_no_file(tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(InputError, match="unknown method"):
        installed_method(f"{tmp_path / 'evil.py'}:METHOD")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (None, "METHOD", "no such file"),
        ("METHOD = 3", "METHOD", "is a int, expected a method"),
        ("OTHER = 3", "METHOD", "has no 'METHOD'"),
        ("def (", "METHOD", r"cannot be run \(invalid syntax"),
        ("import no_such_package", "METHOD", "no_such_package"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path, text, name, said):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match=said):
        find_method(f"{tmp_path / 'mine.py'}:{name}")


def test_a_file_that_failed_is_run_anew_when_it_is_repaired(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):  # a bug in it is its author's to see
        find_method(f"{path}:METHOD")
    path.write_text("from maquette.methods.iscene import ISCENE as METHOD")
    assert find_method(f"{path}:METHOD") is ISCENE


def test_packages_offer_methods_as_entry_points(plugin):
    assert find_method("plain").name == "plain" and Options(method="plain").kinds()[1:]
    with pytest.raises(InputError, match="list is a list"):
        find_method("list")
    with pytest.raises(InputError, match="plain_methods:GONE cannot be loaded"):
        find_method("gone")
    with pytest.raises(InputError, match="independent, plain, gone, list, or FILE"):
        find_method("magic")
