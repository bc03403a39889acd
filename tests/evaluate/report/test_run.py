import json
import shutil

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.contestants import instances_of, scene_from_glb
from maquette.evaluate.report.run import aligned_from_predicted, read_run
from maquette.geometry.transforms import rotation_y, similarity


def test_a_run_is_read_with_methods_that_do_not_know_the_truth_first(run_folder):
    run = read_run(run_folder)
    assert (
        run.methods == ["theirs", "truth"]
        and run.scenes == ["random/0000", "random/0001"]
        and run.protocol == "raw/1"
    )
    assert (
        run.folder.prediction("theirs", "random/0000").exists()
        and not run.folder.prediction("theirs", "random/0001").exists()
    )
    assert "no such file" in run.made("theirs", "random/0001")["error"]


def test_the_alignment_is_told_in_the_frame_of_the_files(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    path = folder / "scores" / "raw" / "truth" / "random" / "0000.json"
    run = read_run(folder)
    assert (
        aligned_from_predicted(run, "truth", "random/0000") is None
    )  # the protocol "raw" aligns nothing
    stored = json.loads(path.read_text())
    in_score_units = similarity(1.3, rotation_y(0.4), [0.2, 0.0, -0.1])
    stored["score"]["truth_from_predicted"] = in_score_units.tolist()
    path.write_text(json.dumps(stored))
    matrix = np.array(aligned_from_predicted(run, "truth", "random/0000"))
    # Truth here is in the scene frame already: centred, longest side 1; scores use longest side 2.
    # So only lengths double.
    assert np.allclose(matrix[:3, :3], in_score_units[:3, :3], atol=1e-5)
    assert np.allclose(matrix[:3, 3], in_score_units[:3, 3] / 2, atol=1e-5)
    truth = np.concatenate(
        [
            m.bounds
            for m in instances_of(
                scene_from_glb(run.folder.scene("random/0000") / "truth.glb")
            ).values()
        ]
    )
    assert np.ptp(truth, axis=0).max() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "run.json").unlink(), "give the --out folder"),
        (lambda folder: (folder / "run.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "rows.csv").unlink(), "nothing was scored"),
        (
            lambda folder: (folder / "scenes" / "random" / "0001" / "truth.glb").unlink(),
            "incomplete",
        ),
    ],
)
def test_what_is_no_run_is_refused(run_folder, tmp_path, spoil, message):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    spoil(folder)
    with pytest.raises(InputError, match=message):
        read_run(folder)
