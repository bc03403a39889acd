"""A lost worker means a restart from the last checkpoint, not a lost run: torchrun's elastic
restarts, with two processes on this machine.
"""

import os
import re
import subprocess
import sys
import textwrap

import pytest
import torch

from maquette.data.library import build_library
from maquette.data.shards import ShardConfig, build_shards
from maquette.data.views import ViewConfig
from tests.train.worlds import solids

pytestmark = pytest.mark.tools
PROGRAM = textwrap.dedent("""
    import os, signal, sys
    from maquette.cli import main
    from maquette.train.loop import Run

    KILLED, LOST = os.environ["KILLED"], os.environ["RANK"] == "1"
    step, save = Run.step, Run.save

    def is_deadly(run):
        return KILLED and run.progress.step == 3 and run.ranks.restarts == 0

    def deadly(self, batch):
        if self.progress.step == 2:
            self.save()
        if is_deadly(self) and LOST:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, batch)

    def save_unless_lost(self):
        # the process that is left may be ended before it has saved, or after that
        if not is_deadly(self):
            save(self)

    def resume(self, begin=Run.resume):
        begin(self)
        print("resumed at", self.progress.step, flush=True)

    Run.step, Run.save, Run.resume = deadly, save_unless_lost, resume
    sys.exit(main(sys.argv[1:]))
""")


def test_a_lost_worker_costs_the_steps_since_the_last_checkpoint(tmp_path):
    library = build_library(solids(), tmp_path / "library", fields=False)
    shards = tmp_path / "shards"
    build_shards(library, shards, ShardConfig(scenes=3, views=2, view=ViewConfig(size=64)))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def trained(name, killed):
        out = tmp_path / name
        options = ["--preset", "tiny", "--steps", "6", "--batch", "2", "--workers", "0"]
        options += ["--device", "cpu", "--out", str(out), "--stream", shards.as_uri()]
        elastic = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "2"]
        command = ["-m", "torch.distributed.run", *elastic, str(program)]
        command += ["train", "image-encoder", "--data", str(library.folder), *options]
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, "OMP_NUM_THREADS": "1", "KILLED": killed},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, torch.load(out / "checkpoint.pt", weights_only=True)

    said, end = trained("lost", "yes")
    whole, wanted = trained("whole", "")
    assert re.findall(r"resumed at (\d)", said) == ["2", "2"]
    assert "resumed" not in whole
    assert end["progress"]["step"] == wanted["progress"]["step"] == 6
    assert all(torch.equal(end["model"][key], wanted["model"][key]) for key in wanted["model"])
