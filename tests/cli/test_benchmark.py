"""The commands benchmark and report: arguments in, tables and a page out, errors in one line."""

import json
from pathlib import Path

import pytest

from maquette.cli import build_parser, main
from maquette.cli.benchmark import listed, plan_of

pytestmark = pytest.mark.usefixtures("few_points")


def parsed(*arguments):
    return build_parser().parse_args(["benchmark", *arguments])


def test_lists_may_be_repeated_or_separated():
    assert listed(["a,b", "c", "a"]) == ["a", "b", "c"]
    arguments = (
        "--set",
        "random,rooms",
        "--set",
        "duplicates",
        "--scenes",
        "2",
        "--method",
        "boxes",
        "--method",
        "truth",
    )
    plan = plan_of(parsed(*arguments), Path("x"))
    assert plan.scenes == tuple(
        f"{name}/000{k}" for name in ("random", "rooms", "duplicates") for k in (0, 1)
    )
    assert [c.name for c in plan.contestants] == ["boxes", "truth"]
    assert len(plan_of(parsed("--set", "all", "--scenes", "1"), Path("x")).sources) == 6


def test_weights_and_other_systems_are_lines_of_one_table(tmp_path):
    arguments = (
        "--weights",
        "old=a",
        "--weights",
        "new=b",
        "--predictions",
        f"theirs={tmp_path}",
        "--steps",
        "3",
    )
    plan = plan_of(parsed(*arguments), Path("x"))
    assert [(c.name, c.weights or c.folder) for c in plan.contestants] == [
        ("old", "a"),
        ("new", "b"),
        ("theirs", str(tmp_path)),
    ]
    assert dict(plan.contestants[0].options)["steps"] == 3
    alone = plan_of(parsed("--weights", "a"), Path("x")).contestants
    assert [(c.name, c.weights) for c in alone] == [("iscene", "a")]


def test_values_of_an_option_are_variants_of_a_method():
    plan = plan_of(parsed("--variants", "fit=true,false", "--title", "Ours: fit"), Path("x"))
    assert [(c.name, dict(c.options)["fit"]) for c in plan.contestants] == [
        ("iscene@fit-true", True),
        ("iscene@fit-false", False),
    ]
    assert plan.title == "Ours: fit" and plan.baseline == "iscene@fit-true"
    chosen = plan_of(
        parsed("--variants", "steps=3,9", "--baseline", "iscene@9", "--no-fit"), Path("x")
    )
    assert [(dict(c.options)["steps"], dict(c.options)["fit"]) for c in chosen.contestants] == [
        (3, False),
        (9, False),
    ]
    assert chosen.baseline == "iscene@9"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--method", "magic"], "magic"),
        (["--variants", "colour=red"], "unknown option 'colour'"),
        (["--variants", "layout=ssds,depth"], "comboverse"),
        (["--title", "Ablation", "--baseline", "theirs"], "choose from iscene"),
        (["--set", "everything"], "small-on-large"),
        (["--scenes", "0"], "at least 1"),
        (["--weights", "a", "--weights", "b"], "NAME=DIR"),
        (["--predictions", "folder"], "NAME=DIR"),
        (["--from", "not/there"], "not/there"),
        (["--protocol", "magic", "--method", "boxes"], "magic"),
        (["--jobs", "-1", "--method", "boxes"], "jobs"),
    ],
)
def test_wrong_input_is_one_line_and_code_two(arguments, message, capsys):
    assert main(["benchmark", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_scenes_of_a_folder_are_scored_and_reported(tmp_path, capsys):
    from tests.evaluate.readers.test_folder import boxes, write

    write(tmp_path / "own" / "one", boxes("a", "b"))
    run = tmp_path / "run"
    command = [
        "benchmark",
        "--from",
        str(tmp_path / "own"),
        "--method",
        "boxes,truth",
        "--protocol",
        "raw",
        "--jobs",
        "0",
    ]
    command += ["--out", str(run)]
    assert main([*command, "--prepare-only"]) == 0 and "1 scenes" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (
        result["raw/1"]["truth"]["own"]["f_s"] == pytest.approx(100)
        and result["raw/1"]["boxes"]["own"]["objects"] == 2
    )
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("### Results\n\nprotocol raw/1") and "Not used" not in printed
    assert {path.name for path in run.iterdir()} >= {
        "table.md",
        "rows.csv",
        "objects.csv",
        "run.json",
        "scenes",
        "predictions",
        "scores",
    }
    page = tmp_path / "results.md"
    page.with_name("results-text.md").write_text("What it means.")
    assert (
        main([*command, "--title", "Oracles", "--baseline", "truth", "--results", str(page)]) == 0
    )
    capsys.readouterr()
    words = page.read_text(encoding="utf-8")
    assert (
        "What it means." in words
        and "### Oracles" in words
        and words.index("### Geometry") < words.index("### Oracles")
    )
    page.with_name("results-text.md").write_text("It means more.")
    assert main(["report", str(run), "--results", str(page), "--json"]) == 0 and json.loads(
        capsys.readouterr().out
    )["page"] == str(page)
    assert page.read_text(encoding="utf-8") == words.replace("What it means.", "It means more.")
    assert main(["report", str(run), "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["page"]).stat().st_size > 100_000


def test_a_damaged_scene_is_named_in_every_table_and_ends_nothing(tmp_path, capsys):
    from tests.evaluate.readers.test_folder import boxes, write

    for name in ("bad", "good"):
        write(tmp_path / "own" / name, boxes("a", "b"))
    (tmp_path / "own" / "bad" / "camera.json").write_text("[" * 100_000)
    run = tmp_path / "run"
    command = ["benchmark", "--from", str(tmp_path / "own"), "--method", "boxes", "--jobs", "0"]
    assert main([*command, "--protocol", "raw", "--extra", "none", "--out", str(run)]) == 0
    printed = capsys.readouterr().out
    failed = printed.split("### Not used")[1]
    assert "| own/bad |" in failed and "camera.json" in failed and "own/good" not in failed
    assert (run / "table.md").read_text(encoding="utf-8") == printed
    page = tmp_path / "results.md"
    assert main(["report", str(run), "--results", str(page)]) == 0
    assert failed.strip() in page.read_text(encoding="utf-8")
    assert main(["report", str(run)]) == 0
    assert "<h3>Not used</h3>" in (run / "report.html").read_text(encoding="utf-8")
