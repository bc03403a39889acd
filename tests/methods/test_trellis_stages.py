import torch

from maquette.flow.trellis import TrellisSampling
from maquette.methods.base import Wishes
from maquette.methods.trellis_stages import adjusted, cells_of, voxels_of
from maquette.nn.sparse import Voxels


def test_guidance_is_given_in_the_units_of_maquette():
    """TRELLIS calls w - 1 the strength: 1 is off in ours, 0 in its."""
    release = TrellisSampling(steps=25, strength=3.0)
    assert adjusted(release, Wishes()) == release
    changed = adjusted(release, Wishes(steps=12, guidance=1.0))
    assert (changed.steps, changed.strength, changed.weight) == (12, 0.0, 1.0)


def test_cells_of_a_batch_come_back_one_by_one():
    rows = torch.tensor([[0, 1, 2, 3], [0, 4, 5, 6], [2, 7, 0, 1]])
    cells = cells_of(Voxels.of(rows, 8, 3))
    assert [own.tolist() for own in cells] == [[[1, 2, 3], [4, 5, 6]], [], [[7, 0, 1]]]
    assert voxels_of(cells[0], 8, torch.device("cpu")).coords.tolist() == rows[:2].tolist()
