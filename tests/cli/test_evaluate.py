import json

import pytest
import trimesh

from maquette.cli import main
from maquette.evaluate.protocols import PROTOCOLS
from maquette.options.benchmark import EXTRAS
from tests.evaluate.scenes import room


def write(meshes, path):
    scene = trimesh.Scene()
    for name, mesh in meshes.items():
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    path.write_bytes(scene.export(file_type="glb"))
    return str(path)


def test_prints_one_json_object(tmp_path, capsys):
    truth = room()
    gt = write(truth, tmp_path / "gt.glb")
    pred = write({name: truth[name] for name in ("chair", "box")}, tmp_path / "pred.glb")
    assert main(["evaluate", "--pred", pred, "--gt", gt, "--protocol", "raw", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["protocol"] == "raw/1"
    assert {
        "cd_s",
        "f_s",
        "cd_o",
        "f_o",
        "iou_b",
        "cd_s_raw",
        "f_s_raw",
        "iou_b_raw",
    } <= result.keys()
    assert result["missing"] == ["ball"]
    assert result["iou_b"] == pytest.approx(2 / 3, abs=1e-4)
    assert 0 < result["f_s"] < 100


def test_iscene_is_the_default_and_the_table_says_so(tmp_path, capsys):
    gt = write(room(), tmp_path / "gt.glb")
    assert main(["evaluate", "--pred", gt, "--gt", gt]) == 0
    out = capsys.readouterr().out
    assert out.startswith("protocol iscene/1") and "100.00" in out


@pytest.mark.parametrize(
    "arguments, message", [(["--protocol", "magic"], "magic"), ([], "no name occurs in both")]
)
def test_wrong_input_is_one_line_and_code_two(tmp_path, capsys, arguments, message):
    gt = write(room(), tmp_path / "gt.glb")
    pred = write({f"x{k}": mesh for k, mesh in enumerate(room().values())}, tmp_path / "pred.glb")
    assert main(["evaluate", "--pred", pred, "--gt", gt, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_help_names_every_protocol_and_every_extra(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    text = capsys.readouterr().out
    assert all(f"\n  {protocol.name} " in text for protocol in PROTOCOLS) and all(
        name in text for name in EXTRAS
    )


def test_matching_by_place_extras_and_notes(tmp_path, capsys):
    truth = room()
    gt = write(truth, tmp_path / "gt.glb")
    pred = write({f"x{k}": mesh for k, mesh in enumerate(truth.values())}, tmp_path / "pred.glb")
    arguments = [
        "evaluate",
        "--pred",
        pred,
        "--gt",
        gt,
        "--protocol",
        "raw",
        "--match",
        "hungarian",
    ]
    assert main([*arguments, "--extra", "physics", "--extra", "boxes", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["iou_b"] == pytest.approx(1.0, abs=1e-5) and result["iou_obb"] == pytest.approx(
        1.0, abs=1e-4
    )
    assert result["stable"] is not None and result["emd"] is None and result["hints"] == []
    huge = write(
        {name: mesh.copy().apply_scale(1000) for name, mesh in truth.items()}, tmp_path / "huge.glb"
    )
    assert main(["evaluate", "--pred", huge, "--gt", gt, "--protocol", "raw"]) == 0
    assert (
        "note: the prediction is 1000 times as large as the truth (millimetres against metres?)"
        in capsys.readouterr().out
    )


def test_missing_file_is_wrong_input(tmp_path, capsys):
    gt = write(room(), tmp_path / "gt.glb")
    assert main(["evaluate", "--pred", str(tmp_path / "none.glb"), "--gt", gt]) == 2
    assert "none.glb" in capsys.readouterr().err
