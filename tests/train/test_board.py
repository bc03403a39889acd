import sys

import numpy as np
import pytest

from maquette.errors import MissingExtraError
from maquette.train.board import FOLDER, Board


class Writer:
    """Stands in for torch's: keeps what it is given, as the documented calls have it."""

    def __init__(self, log_dir, purge_step=None):
        self.told = [("open", log_dir, purge_step)]

    def add_scalar(self, tag, value, step):
        self.told.append((tag, value, step))

    def add_image(self, tag, picture, step, dataformats="CHW"):
        self.told.append((tag, picture.shape, step, dataformats))

    def flush(self):
        pass

    def close(self):
        self.told.append("closed")


def test_rows_become_curves_and_pictures_pictures(tmp_path, monkeypatch):
    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    board = Board(tmp_path, 40)
    board.add({"step": 40.0, "loss": 0.5, "held_out_f": 0.25})
    board.show(np.zeros((4, 6, 3), np.uint8), 40)
    board.close()
    assert board.writer.told == [
        ("open", str(tmp_path / FOLDER), 40),
        ("training/loss", 0.5, 40),
        ("held out/f", 0.25, 40),
        ("held out/samples", (4, 6, 3), 40, "HWC"),
        "closed",
    ]


def test_without_tensorboard_the_exact_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[tensorboard\]'"):
        Board(tmp_path, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_is_written(tmp_path):
    """With the real writer, where it is installed."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for step in (10, 20):
        board = Board(tmp_path, step)
        board.add({"step": float(step), "loss": 1.0 / step})
        board.close()
    read = events.EventAccumulator(str(tmp_path / FOLDER))
    read.Reload()
    assert [(e.step, round(e.value, 3)) for e in read.Scalars("training/loss")] == [
        (10, 0.1),
        (20, 0.05),
    ]
