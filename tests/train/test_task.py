"""Batches: samples side by side or one after the other, lists stay with the processor."""

import pytest
import torch

from maquette.train.task import HeldOut, concatenated, on_device, stacked
from tests.devices import install


def sample(rows: int, value: float) -> dict[str, torch.Tensor]:
    return {"x": torch.full((rows, 2), value), "count": torch.tensor([rows])}


def test_equal_samples_lie_side_by_side_and_others_one_after_the_other():
    side_by_side = stacked([sample(3, 1.0), sample(3, 2.0)])
    assert side_by_side["x"].shape == (2, 3, 2)
    in_a_row = concatenated([sample(1, 1.0), sample(2, 2.0)])
    assert in_a_row["x"][:, 0].tolist() == [1, 2, 2]
    assert in_a_row["count"].tolist() == [1, 2]


def test_tensors_go_to_the_device_and_lists_stay():
    with install("cuda") as device:
        moved = on_device({"x": torch.ones(2), "groups": [1, 1]}, device.device)
        assert moved["x"].device.type == "cuda"
        assert moved["groups"] == [1, 1]


def test_held_out_samples_are_made_once():
    made = []

    class Samples(torch.utils.data.Dataset):
        def __getitem__(self, index):
            made.append(index)
            return sample(1, float(index))

    held_out = HeldOut(Samples(), 3, concatenated)
    for _ in range(2):
        batch = held_out.batch(torch.device("cpu"))
        assert batch["x"][:, 0].tolist() == pytest.approx([0, 1, 2])
    assert made == [0, 1, 2]
