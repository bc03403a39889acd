"""The vector-set transformer: laws for any weights. What the originals compute is in
tests/golden.
"""

import pytest
import torch

from maquette.models.vecset_flow import TimeToken, VecSetFlow, VecSetFlowConfig, midi_joint_blocks

MIDI = VecSetFlowConfig(
    channels=4, width=32, blocks=5, heads=2, context_widths=(12, 20), joint_blocks=(1, 2, 3)
)


def network(config=MIDI):
    torch.manual_seed(0)
    made = VecSetFlow(config).eval()
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    return made


def given(sequences=4, tokens=6):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(sequences, tokens, 4, generator=generator),
        torch.full((sequences,), 0.6),
        [
            torch.randn(sequences, 1, 12, generator=generator),
            torch.randn(sequences, 5, 20, generator=generator),
        ],
    )


def test_latent_vectors_are_a_set():
    made = network()
    (x, t, contexts) = given()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        made(x[:, order], t, contexts), made(x, t, contexts)[:, order], atol=1e-5, rtol=1e-4
    )


def test_without_groups_sequences_are_independent_and_with_groups_scenes_are():
    made = network()
    (x, t, contexts) = given()
    alone = torch.cat(
        [made(x[i : i + 1], t[:1], [c[i : i + 1] for c in contexts]) for i in range(4)]
    )
    torch.testing.assert_close(made(x, t, contexts), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made(x, t, contexts, (1, 1, 1, 1)), alone, atol=1e-5, rtol=1e-4)
    scenes = made(x, t, contexts, (2, 2))
    torch.testing.assert_close(
        scenes[2:], made(x[2:], t[2:], [c[2:] for c in contexts], (2,)), atol=1e-5, rtol=1e-4
    )
    assert (scenes - alone).abs().max() > 1e-3


def test_instances_of_a_scene_may_come_in_any_order():
    made = network()
    (x, t, contexts) = given(3)
    order = torch.tensor([2, 0, 1])
    swapped = made(x[order], t, [c[order] for c in contexts], (3,))
    torch.testing.assert_close(swapped, made(x, t, contexts, (3,))[order], atol=1e-5, rtol=1e-4)


def test_ragged_scenes_are_each_scene_alone():
    made = network()
    (x, t, contexts) = given()
    ragged = made(x, t, contexts, (3, 1))
    torch.testing.assert_close(
        ragged[:3], made(x[:3], t[:3], [c[:3] for c in contexts], (3,)), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        ragged[3:], made(x[3:], t[3:], [c[3:] for c in contexts]), atol=1e-5, rtol=1e-4
    )


def test_prepared_contexts_change_nothing():
    made = network()
    (x, t, contexts) = given()
    plain = made(x, t, contexts, (2, 2))
    prepared = made.prepare(
        [None, contexts[1]], [contexts[0], None]
    )  # the first context is one token: a constant
    found = made.velocity(x, made.time_proj(t[:1]), prepared, (2, 2))
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-4)


def test_skips_join_from_the_middle_outwards():
    made = network()
    (x, t, contexts) = given(1)
    outputs = []
    joined = []
    for block in made.blocks:
        block.register_forward_hook(lambda module, _, out: outputs.append(out))
        if block.skip_linear is not None:
            block.skip_linear.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
    made(x, t, contexts)
    assert [b.skip_linear is not None for b in made.blocks] == [False, False, False, True, True]
    for given_to, earlier, previous in (
        (joined[0], outputs[1], outputs[2]),
        (joined[1], outputs[0], outputs[3]),
    ):
        assert torch.equal(given_to, torch.cat([earlier, previous], -1))


def test_the_noise_level_is_the_first_token_and_is_dropped():
    made = network()
    (x, t, contexts) = given(2)
    assert made(x, t, contexts).shape == x.shape
    assert (made(x, 0.5 * t, contexts) - made(x, t, contexts)).abs().max() > 1e-3


def test_time_token_starts_with_sines():
    token = TimeToken(8)
    torch.testing.assert_close(
        token.sinusoids(torch.tensor([0.0])), torch.tensor([[0.0] * 4 + [1.0] * 4])
    )
    torch.testing.assert_close(
        token.sinusoids(torch.tensor([0.001]))[0, 0], torch.tensor(1.0).sin()
    )


@pytest.mark.parametrize(
    "blocks, joint", [(21, (8, 9, 10, 11, 12)), (5, (0, 1, 2, 3, 4)), (7, (1, 2, 3, 4, 5))]
)
def test_the_joint_blocks_are_the_middle_ones(blocks, joint):
    assert midi_joint_blocks(blocks) == joint
