"""What a scheduler and a shell do to a training that runs for hours."""

import os
import signal
import subprocess
import sys

import pytest

from maquette.data.library import build_library
from tests.train.worlds import solids


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_a_background_job_saves_when_it_is_told_to_end(tmp_path):
    """A shell starts background jobs deaf to Ctrl-C; SIGTERM must reach them all the same, and
    nothing that was learnt is lost.
    """
    library = str(build_library(solids(), tmp_path / "library", fields=False).folder)
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "maquette",
        "train",
        "image-encoder",
        "--preset",
        "tiny",
        "--data",
        library,
        "--out",
        str(run),
        "--steps",
        "1000000",
        "--batch",
        "1",
        "--workers",
        "0",
        "--threads",
        "1",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command, **pipes, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    ) as process:
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
