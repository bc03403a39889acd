"""Estimates against live tensors: every storage that a stage makes on the processor is counted, at
its widest point.
"""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from maquette.checkpoints.estimates import Load, stages_of
from maquette.checkpoints.full_size import CONFIGS
from maquette.checkpoints.verify import model_of
from maquette.flow.trellis import TrellisSampling
from maquette.models import iscene3d, trellis3d
from maquette.models.midi3d import MidiCondition, MidiSampling, sample_midi

WIDTH = 128
SIDE = 8
TOKENS = 1374
FLOW = {
    "model_channels": WIDTH,
    "cond_channels": WIDTH,
    "num_heads": 4,
    "num_blocks": 2,
    "resolution": SIDE,
}
GUIDED = TrellisSampling(
    steps=2, strength=3.0, interval=(0.9, 1.0)
)  # one guided and one plain step


class Live(TorchDispatchMode):
    """Bytes of all storages that operations return, as long as they live."""

    def __init__(self):
        super().__init__()
        self.live = 0
        self.peak = 0
        self.seen = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self.seen:
                storage = tensor.untyped_storage()
                self.seen[storage] = size = storage.nbytes()
                self.live += size
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self.free, size)
        return out

    def free(self, size):
        self.live -= size


def network(name, **changes):
    config = dict(CONFIGS[name])
    config |= {"args": config["args"] | changes} if "args" in config else changes
    return model_of(config, name).build(config).eval().requires_grad_(False), config


@torch.no_grad()
def peak(run):
    with Live() as live:
        run()
    return live.peak


def assert_grows_as_estimated(measured, estimate):
    """From one to two instances: what is the same for all (views of the weights) falls out of the
    difference.
    """
    assert measured[1] - measured[0] == pytest.approx(estimate[1] - estimate[0], rel=0.2)


REST = {
    "structure-decoder": CONFIGS["ss_dec_conv3d_16l8_fp16"],
    "slat-flow": CONFIGS["slat_flow_img_dit_L_64l8p2_fp16"],
    "mesh-decoder": CONFIGS["slat_dec_mesh_swin8_B_64l8m256c_fp16"],
}


def test_structure_flow_of_iscene():
    flow, config = network("iscene_denoiser", **FLOW, scene_context_attn_num=1)
    noise = torch.randn(1, 3, 8, *(SIDE,) * 3)
    measured = [
        peak(
            lambda n=n: iscene3d.sample_slots(flow, torch.randn(n, 3, TOKENS, WIDTH), noise, GUIDED)
        )
        for n in (1, 2)
    ]
    configs = {"dino": {}, "structure-flow": config} | REST
    assert_grows_as_estimated(
        measured, [stages_of("trellis-iscene", configs, Load(4, n, n, 0))[1][2] for n in (1, 2)]
    )


def test_structure_flow_of_trellis():
    flow, config = network("ss_flow_img_dit_L_16l8_fp16", **FLOW)
    noise = torch.randn(2, 8, *(SIDE,) * 3)
    measured = [
        peak(
            lambda n=n: trellis3d.sample_structure(
                flow, torch.randn(n, TOKENS, WIDTH), noise[:n], GUIDED
            )
        )
        for n in (1, 2)
    ]
    configs = {"dino": CONFIGS["dinov2_vitl14_reg"], "structure-flow": config} | REST
    assert_grows_as_estimated(
        measured, [stages_of("trellis-large", configs, Load(4, n, n, 0))[1][2] for n in (1, 2)]
    )


def test_joint_flow_of_midi():
    flow, config = network(
        "midi_transformer",
        width=64,
        num_attention_heads=2,
        num_layers=3,
        cross_attention_dim=64,
        cross_attention_2_dim=64,
    )
    conditions = {n: MidiCondition(torch.randn(n, 1, 64), torch.randn(n, 257, 64)) for n in (1, 2)}
    measured = [
        peak(
            lambda n=n: sample_midi(
                flow, conditions[n], torch.randn(n, 2048, 64), MidiSampling(steps=1)
            )
        )
        for n in (1, 2)
    ]
    configs = {
        "clip": CONFIGS["clip_vit_l14_proj"],
        "dino": CONFIGS["dinov2_large_7ch"],
        "flow": config,
        "vae": CONFIGS["triposg_vae"],
    }
    assert_grows_as_estimated(
        measured, [stages_of("midi-3d", configs, Load(4, n, n, 0))[2][2] for n in (1, 2)]
    )
