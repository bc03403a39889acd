"""Small tables on their way to a device."""

import pytest
import torch

from maquette.nn.devices import sent


def test_a_tensor_that_is_there_stays_itself():
    table = torch.arange(3)
    assert sent(table, torch.device("cpu")) is table


@pytest.mark.parametrize("device, waits", [("cuda:1", False), ("mps", True), ("cpu", True)])
def test_only_cuda_does_not_wait_for_the_copy(device, waits):
    class Table(torch.Tensor):
        def to(self, device, non_blocking):
            self.asked = (device, not non_blocking)
            return self

    assert sent(Table(), device).asked == (device, waits)
