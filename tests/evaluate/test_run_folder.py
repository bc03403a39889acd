import json

import pytest

from maquette.errors import InputError
from maquette.evaluate.rows import ResultRow, write_table
from maquette.evaluate.run_folder import RunFolder, finished_record


def test_protocols_go_by_name_or_id_and_scenes_by_their_set(tmp_path):
    run = RunFolder(tmp_path)
    assert run.score("iscene/1", "midi", "random/0001") == run.score(
        "iscene", "midi", "random/0001"
    )
    files = {
        run.scene("random/0001"),
        run.unusable("random/0001"),
        run.prediction("midi", "random/0001"),
        run.making("midi", "random/0001"),
        run.score("iscene", "midi", "random/0001"),
    }
    assert len(files) == 5 and all(path.is_relative_to(tmp_path) for path in files)


def test_what_is_not_there_or_damaged_is_not_done(tmp_path):
    path = tmp_path / "a.json"
    assert finished_record(path) is None
    path.write_text("{")
    assert finished_record(path) is None
    path.write_text(json.dumps({"score": 1}))
    assert finished_record(path) == {"score": 1}


def test_a_run_without_rows_is_not_finished(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(InputError, match=r"run\.json: no such file; give the --out folder"):
        run.record()
    with pytest.raises(InputError, match="nothing was scored"):
        run.scored_rows()
    row = ResultRow("random", "random/0000", "midi", "iscene/1", 3, 0, 0, {"f_s": 50.0})
    write_table(run.rows_file, [row.to_record()])
    assert [found.scene for found in run.scored_rows()] == ["random/0000"]
