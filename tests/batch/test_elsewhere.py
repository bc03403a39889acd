"""Photos, masks and results at a URL: the same results as in folders, and nothing half-written."""

from pathlib import Path

import pytest

from maquette.batch.elsewhere import brought, is_elsewhere, renamed
from maquette.batch.finished import outcome_of
from maquette.batch.pairs import plan
from maquette.cli import main
from maquette.execute.store import path_at, written
from maquette.options import GeometryOptions
from tests.tiny import write_photo

pytest.importorskip("upath")


def uploaded(folder, url):
    for path in folder.iterdir():
        with written(path_at(url) / path.name) as temporary:
            temporary.write_bytes(path.read_bytes())
    return url


def test_a_job_is_brought_here_and_its_results_go_there(tmp_path):
    write_photo(tmp_path, "a_rgb.png")[1].rename(tmp_path / "a_seg.png")
    (tmp_path / "K.txt").write_text("1 0 0 0 1 0 0 0 1")
    url = uploaded(tmp_path, "memory://brought/in")
    known = GeometryOptions(intrinsics=f"{url}/K.txt")
    (job,), batch = plan([url], url, "memory://brought/out", known)
    assert batch and is_elsewhere(job) and str(job.masks) == f"{url}/a_seg.png"
    with brought(job) as here:
        assert not is_elsewhere(here) and here.photo.name == "a_rgb.png"
        assert here.photo.read_bytes() == (tmp_path / "a_rgb.png").read_bytes()
        assert "1 0 0" in Path(here.geometry.intrinsics).read_text()
        (here.folder / "scene.json").write_text("{}")
        outcome = renamed(outcome_of(here, "made"), here, job)
    assert outcome.photo == f"{url}/a_rgb.png" and outcome.folder == "memory://brought/out/a_rgb"
    assert (job.folder / "scene.json").read_text() == "{}" and not here.photo.exists()
    local, _ = plan([tmp_path], tmp_path, tmp_path / "out")
    assert not is_elsewhere(local[0])


def test_generate_at_a_url_makes_what_it_makes_in_a_folder(tmp_path, tiny_weights, capsys):
    write_photo(tmp_path / "in", "a.png", objects=1)
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    (tmp_path / "in" / "b_seg.png").write_bytes(b"no picture")
    url = uploaded(tmp_path / "in", "memory://made/in")
    common = ["--weights", str(tiny_weights), "--steps", "2", "--no-preview", "--jobs", "0", "-o"]
    far = ["generate", url, "--masks", url, *common, "memory://made/out"]
    assert main(far) == 1  # one of them is no picture
    said = capsys.readouterr()
    assert "1 made, 0 finished before, 1 failed" in said.out
    assert "memory://made/in/b.png" in said.err and "/tmp" not in said.err
    assert (
        main(
            ["generate", str(tmp_path / "in"), "--masks", str(tmp_path / "in"), *common]
            + [str(tmp_path / "out")]
        )
        == 1
    )
    made = path_at("memory://made/out/a")
    assert (made / "scene.glb").read_bytes() == (tmp_path / "out/a/scene.glb").read_bytes()
    names = {p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file()}
    local = tmp_path / "out" / "a"
    assert names == {p.relative_to(local).as_posix() for p in local.rglob("*") if p.is_file()}
    capsys.readouterr()
    main(far)
    assert "0 made, 1 finished before" in capsys.readouterr().out
    assert main([*far, "--merge"]) == 2 and "1 of 2 photos are missing" in capsys.readouterr().err
