"""Every object in its own cube, alone or in a batch."""

import torch

from maquette.stages.crop import box_cube
from maquette.stages.sample import Sampling
from maquette.stages.seeds import instance_seed
from maquette.stages.zoom import zoom_all, zoom_pass
from tests.methods.worlds import world


@torch.inference_mode()
def test_every_instance_is_made_once_with_its_own_seed_whoever_else_is_in_its_batch():
    """On the processor one after the other; as one batch, the same up to rounding."""
    w = world()
    states = {
        label: {"scene_from_cube": box_cube([w.perception.visible_box(label)])} for label in (2, 1)
    }
    sampling = Sampling(steps=2, zoom_steps=2, seed=7)
    shares = []
    made = zoom_all(w.models, w.perception, states, sampling, lambda *said: shares.append(said))
    made = list(made)
    assert [(m.label, m.seed) for m in made] == [(k, instance_seed(7, k)) for k in (2, 1)]
    assert shares == [("objects", 0.0), ("objects", 0.5), ("objects", 1.0)]
    for one, batched in zip(made, zoom_pass(w.models, w.perception, states, sampling)):
        assert one.label == batched.label and one.state is states[one.label]
        torch.testing.assert_close(batched.volume, one.volume, atol=1e-4, rtol=1e-4)
    assert [*zoom_all(w.models, w.perception, {}, sampling, lambda *_: None)] == []
