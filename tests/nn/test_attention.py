"""Laws of the attention primitive, among them the statements of I-Scene's appendix."""

import pytest
import torch

from maquette.nn.attention import (
    CrossAttention,
    ExternalKeys,
    Joint,
    SceneContext,
    SelfAttention,
    SharedRMSNorm,
    attend,
    join_sequences,
)


def _qkv(batch, tokens=7, heads=2, depth=8, seed=0):
    return torch.randn(
        3, batch, heads, tokens, depth, generator=torch.Generator().manual_seed(seed)
    ).unbind(0)


def test_attend_is_softmax_over_all_groups():
    q, k, v = _qkv(2)
    _, k2, v2 = _qkv(2, tokens=5, seed=1)
    keys = torch.cat([k, k2], 2)
    values = torch.cat([v, v2], 2)
    expected = torch.softmax(q @ keys.transpose(-1, -2) / 8**0.5, -1) @ values
    torch.testing.assert_close(attend(q, [k, k2], [v, v2]), expected, atol=1e-5, rtol=1e-5)


def test_order_of_groups_does_not_matter():
    q, k, v = _qkv(2)
    _, k2, v2 = _qkv(2, seed=3)
    torch.testing.assert_close(
        attend(q, [k, k2], [v, v2]), attend(q, [k2, k], [v2, v]), atol=1e-6, rtol=1e-5
    )


def test_scene_equal_to_instance_is_plain_self_attention():
    """I-Scene, appendix 7: with identical inputs scene-context attention equals self-attention."""
    q, k, v = _qkv(1)
    q, k, v = (torch.cat([x, x]) for x in (q, k, v))
    out = SceneContext.of(torch.tensor([-1, 0]))(q, k, v)
    torch.testing.assert_close(out[1], attend(q[:1], [k[:1]], [v[:1]])[0], atol=1e-5, rtol=1e-5)


def test_no_scene_is_plain_self_attention_bit_for_bit():
    q, k, v = _qkv(3)
    assert torch.equal(SceneContext.of(torch.tensor([-1, -1, -1]))(q, k, v), attend(q, [k], [v]))


def test_each_instance_sees_its_own_scene_only():
    q, k, v = _qkv(4)
    scene_of = torch.tensor([-1, -1, 0, 1])
    before = SceneContext.of(scene_of)(q, k, v)
    k2 = k.clone()
    v2 = v.clone()
    # disturb the second scene
    k2[1] = 0.0
    v2[1] = 3.0
    after = SceneContext.of(scene_of)(q, k2, v2)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[3], after[3])


def test_instances_never_see_each_other():
    q, k, v = _qkv(3)
    scene_of = torch.tensor([-1, 0, 0])
    both = SceneContext.of(scene_of)(q, k, v)
    alone = SceneContext.of(scene_of[:2])(q[:2], k[:2], v[:2])
    torch.testing.assert_close(both[:2], alone, atol=1e-6, rtol=1e-6)


def test_self_attention_is_permutation_equivariant_over_tokens():
    torch.manual_seed(0)
    layer = SelfAttention(16, 2)
    x = torch.randn(2, 9, 16)
    order = torch.randperm(9)
    torch.testing.assert_close(layer(x)[:, order], layer(x[:, order]), atol=1e-5, rtol=1e-5)


def test_cross_attention_ignores_the_order_of_the_context():
    torch.manual_seed(0)
    layer = CrossAttention(16, 12, 2)
    x = torch.randn(2, 5, 16)
    context = torch.randn(2, 6, 12)
    torch.testing.assert_close(layer(x, context), layer(x, context.flip(1)), atol=1e-5, rtol=1e-5)


def test_several_sources_are_seen_in_any_order_and_only_by_those_that_look():
    q, k, v = _qkv(4)
    sees = torch.tensor([[1, 3], [-1, -1], [3, 1], [-1, -1]])
    out = SceneContext.of(sees)(q, k, v)
    torch.testing.assert_close(
        out[0],
        attend(q[:1], [k[:1], k[1:2], k[3:]], [v[:1], v[1:2], v[3:]])[0],
        atol=1e-6,
        rtol=1e-5,
    )
    torch.testing.assert_close(
        out[2], SceneContext.of(sees.flip(1))(q, k, v)[2], atol=1e-6, rtol=1e-5
    )
    assert torch.equal(out[[1, 3]], attend(q[[1, 3]], [k[[1, 3]]], [v[[1, 3]]]))


def test_external_keys_are_shifted_before_they_are_gated():
    _, k, _ = _qkv(3)
    external = ExternalKeys(2, 2, 8, scale=0.3)
    with torch.no_grad():
        external.ext_gate.copy_(torch.tensor([[0.0, 2.0], [-1.0, 1.0]]))
        external.k_type_bias.normal_(generator=torch.Generator().manual_seed(0))
    expected = (k + 0.3 * torch.tanh(external.k_type_bias[1])[:, None]) * torch.sigmoid(
        external.ext_gate[1]
    )[:, None, None]
    torch.testing.assert_close(external(1, k), expected)
    assert torch.equal(ExternalKeys(2, 2, 8, gate=False, bias=False)(0, k), k)


def test_gates_are_for_others_keys_and_never_for_values_or_own_keys():
    """With a closed gate a source's logits are zero: its values enter with weight one each."""
    q, k, v = _qkv(2)
    external = ExternalKeys(1, 2, 8, bias=False)
    with torch.no_grad():
        external.ext_gate.fill_(-1e4)
    out = SceneContext.of(torch.tensor([1, -1]))(q, k, v, external)
    weights = torch.cat([q[0] @ k[0].transpose(-1, -2) / 8**0.5, torch.zeros(2, 7, 7)], -1).softmax(
        -1
    )
    torch.testing.assert_close(out[0], weights @ torch.cat([v[0], v[1]], 1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("groups", [(3, 3), (2, 1, 3), (6,), (1,) * 6])
def test_joint_attention_is_attention_to_all_tokens_of_the_group(groups):
    q, k, v = _qkv(6)
    out = Joint(groups)(q, k, v)
    first = 0
    for size in groups:
        own = slice(first, first + size)
        keys, values = (
            x[own].transpose(0, 1).flatten(1, 2).expand(size, -1, -1, -1) for x in (k, v)
        )  # a copy for every instance
        torch.testing.assert_close(out[own], attend(q[own], [keys], [values]), atol=1e-6, rtol=1e-5)
        first += size


def test_a_group_of_one_is_plain_self_attention_bit_for_bit():
    q, k, v = _qkv(3)
    assert torch.equal(Joint((1, 1, 1))(q, k, v), attend(q, [k], [v]))


def test_joining_projected_tokens_copies_nothing():
    projected = torch.randn(
        6, 5, 3, 2, 8
    )  # sequences, tokens, (query, key, value), heads, channels: as the linear layer leaves them
    key = projected[:, :, 1].transpose(1, 2)
    joined = join_sequences(key, 3)
    assert (
        joined.shape == (2, 2, 15, 8)
        and joined.untyped_storage().data_ptr() == projected.untyped_storage().data_ptr()
    )


@pytest.mark.parametrize("qk_norm", [None, "head", "shared"])
def test_a_prepared_context_changes_nothing(qk_norm):
    torch.manual_seed(0)
    layer = CrossAttention(16, 12, 2, qk_norm)
    x = torch.randn(3, 5, 16)
    context = torch.randn(3, 6, 12)
    assert torch.equal(layer(x, layer.prepare(context)), layer(x, context))


@pytest.mark.parametrize("bias", [True, False])
def test_attention_to_equal_tokens_is_a_constant(bias):
    torch.manual_seed(0)
    layer = CrossAttention(16, 12, 2, bias=bias)
    x = torch.randn(5, 4, 16)
    context = torch.randn(2, 6, 12)
    zeros = torch.zeros(2, 1, 12)
    one = torch.randn(1, 1, 12)
    plain = layer(x, torch.cat([context, zeros.expand(-1, 6, -1), one.expand(-1, 6, -1)]))
    torch.testing.assert_close(
        layer(x, layer.prepare(context, torch.cat([zeros, one]))), plain, atol=1e-6, rtol=1e-5
    )
    alone = layer.prepare(None, torch.cat([zeros, one]))
    torch.testing.assert_close(
        layer(x[2:], alone).expand(-1, 4, -1), plain[2:], atol=1e-6, rtol=1e-5
    )


def test_shared_norm_is_the_root_mean_square():
    norm = SharedRMSNorm(8)
    x = torch.randn(2, 5, 3, 8)
    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(2, 5, 3), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_few_tokens_in_training_take_another_way_to_the_same_numbers(masked):
    query, key, value = (
        torch.randn(2, 2, 9, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)
    )
    seen = torch.rand(2, 1, 1, 9) < 0.6 if masked else None
    if masked:
        seen[..., 0] = True
    with torch.no_grad():
        fused = attend(query, [key], [value], seen)
    out = attend(query, [key], [value], seen)
    torch.testing.assert_close(out, fused, atol=0.03, rtol=0.03)
    exact = [x.detach().double().requires_grad_() for x in (query, key, value)]
    expected = torch.autograd.grad(
        attend(exact[0], [exact[1]], [exact[2]], seen).square().sum(), exact
    )
    for found, true in zip(torch.autograd.grad(out.square().sum(), (query, key, value)), expected):
        assert (found.double() - true).norm() < 0.03 * true.norm()
