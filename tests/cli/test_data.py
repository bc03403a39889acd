from pathlib import Path

import cv2
import pytest
import trimesh

from maquette.cli import main
from maquette.data.catalogue import Catalogue
from tests.data.toys import Toys


@pytest.fixture(autouse=True)
def few_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maquette.cli.data.PROCEDURAL_ASSETS", 2)


def test_preview_writes_one_strip_per_scene(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    assert (
        main(
            [
                "data",
                "preview",
                "--out",
                str(sheet),
                "--scenes",
                "3",
                "--views",
                "2",
                "--size",
                "40",
            ]
        )
        == 0
    )
    assert cv2.imread(str(sheet)).shape == (2 * 40 + 4, 2 * (5 * 40 + 4 * 4) + 4, 3)
    assert "views/s" in capsys.readouterr().out


def test_build_continues_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "maquette.cli.data._catalogue", lambda folder, seed: Catalogue.of(Toys.many())
    )
    command = [
        "data",
        "build",
        "--out",
        str(tmp_path / "out"),
        "--scenes",
        "2",
        "--views",
        "1",
        "--size",
        "40",
        "--per-shard",
        "1",
    ]
    assert main(command) == 0
    assert "2 scenes written" in capsys.readouterr().out
    assert main(command) == 0
    assert "0 scenes written" in capsys.readouterr().out
    assert main([*command, "--views", "2"]) == 2
    assert "another views" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["preview", "--out", "sheet.txt"],
        ["preview", "--out", "sheet.png", "--scenes", "0"],
        ["preview", "--out", "sheet.png", "--size", "7"],
        ["preview", "--out", "sheet.png", "--library", "nowhere"],
        ["build", "--out", "x", "--views", "-1"],
        ["build", "--out", "x", "--jobs", "-1"],
        ["build", "--out", "x", "--seed", "-1"],
        ["import", "nowhere", "--out", "x"],
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("maquette data: ")
    assert not list(tmp_path.iterdir())


def test_imported_assets_are_composed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((1.0, 0.5, 0.7)).export(tmp_path / "meshes" / "box.ply")
    trimesh.creation.icosphere(1).export(tmp_path / "meshes" / "ball.obj")
    (tmp_path / "meshes" / "broken.stl").write_bytes(b"no mesh")
    assert (
        main(
            [
                "data",
                "import",
                str(tmp_path / "meshes"),
                "--out",
                str(tmp_path / "library"),
                "--verbose",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "dropped broken" in out and "2 assets" in out
    sheet = tmp_path / "sheet.png"
    assert (
        main(
            [
                "data",
                "preview",
                "--out",
                str(sheet),
                "--library",
                str(tmp_path / "library"),
                "--scenes",
                "1",
                "--size",
                "40",
            ]
        )
        == 0
    )
    assert "2 assets" in capsys.readouterr().out and sheet.exists()


def test_meshes_can_be_imported_without_fields(tmp_path, capsys):
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((1.0, 0.5, 0.7)).export(tmp_path / "meshes" / "box.ply")
    library = str(tmp_path / "library")
    importing = ["data", "import", str(tmp_path / "meshes"), "--out", library]
    assert main([*importing, "--no-fields"]) == 0
    assert not (tmp_path / "library" / "sdf.npy").exists()
    capsys.readouterr()
    assert main(importing) == 2
    assert "without distance fields" in capsys.readouterr().err


def test_make_writes_assets_that_import_takes(tmp_path, capsys):
    assert (
        main(["data", "make", "--out", str(tmp_path / "more"), "--count", "2", "--seed", "3"]) == 0
    )
    assert (
        "2 assets" in capsys.readouterr().out and len(list((tmp_path / "more").glob("*.npz"))) == 2
    )
    assert main(["data", "import", str(tmp_path / "more"), "--out", str(tmp_path / "library")]) == 0
    assert (
        main(
            [
                "data",
                "make",
                "--out",
                str(tmp_path / "varied"),
                "--count",
                "3",
                "--vary",
                str(tmp_path / "library"),
            ]
        )
        == 0
    )
    assert all("-varied-" in path.name for path in (tmp_path / "varied").iterdir())
    assert main(["data", "make", "--out", str(tmp_path), "--count", "1"]) == 2
