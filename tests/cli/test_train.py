"""What a scheduler and a shell do to a training that runs for hours."""

import os

import pytest

from maquette.data.library import build_library
from tests.copies import Copied, as_users
from tests.train.worlds import solids


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize("start", [Copied, pytest.param(as_users, marks=pytest.mark.slow)])
def test_a_background_job_saves_when_it_is_told_to_end(start, tmp_path):
    """A shell starts background jobs deaf to Ctrl-C; SIGTERM must reach them all the same, and
    nothing that was learnt is lost.
    """
    library = str(build_library(solids(), tmp_path / "library", fields=False).folder)
    run = tmp_path / "run"
    command = ["train", "image-encoder", "--preset", "tiny", "--data", library, "--out", str(run)]
    command += ["--steps", "1000000", "--batch", "1", "--workers", "0", "--threads", "1"]
    with start(command, deaf=True) as process:
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith("step 20 ") for line in lines)
        process.terminate()
        _, errors = process.communicate(timeout=120)
    assert (
        process.returncode == 130
        and "continue with --resume" in errors
        and "Traceback" not in errors
    )
    assert (run / "checkpoint.pt").exists() and (run / "weights.safetensors").exists()
