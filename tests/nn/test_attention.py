"""Laws of the attention primitive, among them the statements of I-Scene's appendix."""

import torch

from maquette.nn.attention import CrossAttention, SelfAttention, attend, scene_context_attention


def _qkv(batch, tokens=7, heads=2, depth=8, seed=0):
    return torch.randn(3, batch, heads, tokens, depth, generator=torch.Generator().manual_seed(seed)).unbind(0)


def test_attend_is_softmax_over_all_groups():
    q, k, v = _qkv(2)
    _, k2, v2 = _qkv(2, tokens=5, seed=1)
    keys, values = torch.cat([k, k2], 2), torch.cat([v, v2], 2)
    expected = torch.softmax(q @ keys.transpose(-1, -2) / 8**0.5, -1) @ values
    torch.testing.assert_close(attend(q, [k, k2], [v, v2]), expected, atol=1e-5, rtol=1e-5)


def test_order_of_groups_does_not_matter():
    q, k, v = _qkv(2)
    _, k2, v2 = _qkv(2, seed=3)
    torch.testing.assert_close(attend(q, [k, k2], [v, v2]), attend(q, [k2, k], [v2, v]), atol=1e-6, rtol=1e-5)


def test_scene_equal_to_instance_is_plain_self_attention():
    """I-Scene, appendix 7: with identical inputs scene-context attention equals self-attention."""
    q, k, v = _qkv(1)
    q, k, v = (torch.cat([x, x]) for x in (q, k, v))
    out = scene_context_attention(q, k, v, torch.tensor([-1, 0]))
    torch.testing.assert_close(out[1], attend(q[:1], [k[:1]], [v[:1]])[0], atol=1e-5, rtol=1e-5)


def test_no_scene_is_plain_self_attention_bit_for_bit():
    q, k, v = _qkv(3)
    assert torch.equal(scene_context_attention(q, k, v, torch.tensor([-1, -1, -1])), attend(q, [k], [v]))


def test_each_instance_sees_its_own_scene_only():
    q, k, v = _qkv(4)
    scene_of = torch.tensor([-1, -1, 0, 1])
    before = scene_context_attention(q, k, v, scene_of)
    k2, v2 = k.clone(), v.clone()
    k2[1], v2[1] = 0.0, 3.0  # disturb the second scene
    after = scene_context_attention(q, k2, v2, scene_of)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[3], after[3])


def test_instances_never_see_each_other():
    q, k, v = _qkv(3)
    scene_of = torch.tensor([-1, 0, 0])
    both = scene_context_attention(q, k, v, scene_of)
    alone = scene_context_attention(q[:2], k[:2], v[:2], scene_of[:2])
    torch.testing.assert_close(both[:2], alone, atol=1e-6, rtol=1e-6)


def test_self_attention_is_permutation_equivariant_over_tokens():
    torch.manual_seed(0)
    layer, x, order = SelfAttention(16, 2), torch.randn(2, 9, 16), torch.randperm(9)
    torch.testing.assert_close(layer(x)[:, order], layer(x[:, order]), atol=1e-5, rtol=1e-5)


def test_cross_attention_ignores_the_order_of_the_context():
    torch.manual_seed(0)
    layer, x, context = CrossAttention(16, 12, 2), torch.randn(2, 5, 16), torch.randn(2, 6, 12)
    torch.testing.assert_close(layer(x, context), layer(x, context.flip(1)), atol=1e-5, rtol=1e-5)
