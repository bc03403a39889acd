"""What the generator is told of an object does not depend on who else is asked for."""

import torch

from maquette.geometry.transforms import similarity
from maquette.stages.lift import CHUNK, CubeRow, encode
from tests.methods.worlds import world


def test_rows_are_encoded_each_on_its_own_in_any_number():
    w = world()
    rows = [CubeRow(1 + k % 2, similarity(1.0 - 0.1 * k)) for k in range(CHUNK + 2)]
    with torch.inference_mode():
        together = encode(w.models, w.perception, rows)
        last = encode(w.models, w.perception, rows[-1:])
    torch.testing.assert_close(together.context[-1:], last.context, atol=1e-4, rtol=1e-4)
    for many, one in zip(together.lift, last.lift):
        torch.testing.assert_close(many[-1:], one, atol=1e-4, rtol=1e-4)
