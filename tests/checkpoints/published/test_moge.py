"""MoGe-2 and MoGe-3 in their released layout: random weights, and the same sums written down a
second time with plain functions on the published names; the sparse volume of MoGe-3 as a dense one.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maquette.checkpoints.published import moge
from maquette.errors import CheckpointError
from maquette.models.moge import focal_and_shift

WIDTH, BLOCKS, PATCH, GRID = 64, 4, 14, 4
REFINED = (3, 4, 5, 4, 6)  # channels of MoGe-3's volume, fine to coarse
BLOCKS_DOWN, BLOCKS_COARSEST, BLOCKS_UP = (
    (1, 2, 0, 1, 1),
    2,
    (1, 1, 0, 2),
)  # the last fine to coarse


def _stack(name, into, widths, out, blocks, transposed):
    """Names and shapes of one pyramid."""
    shapes = {}

    def layer(key, *shape, bias=None):
        shapes[f"{name}.{key}.weight"] = shape
        shapes[f"{name}.{key}.bias"] = (bias or shape[0],)

    for level, width in enumerate(widths):
        if into[level] is not None:
            layer(f"input_blocks.{level}", width, into[level], 1, 1)
        if out[level] is not None:
            layer(f"output_blocks.{level}", out[level], width, 1, 1)
        for block in range(blocks[level]):
            for place in (2, 5):
                layer(f"res_blocks.{level}.{block}.layers.{place}", width, width, 3, 3)
    for level, (before, after) in enumerate(zip(widths[:-1], widths[1:])):
        if transposed[level]:
            layer(f"resamplers.{level}.0", before, after, 2, 2, bias=after)
        layer(f"resamplers.{level}.1", after, after if transposed[level] else before, 3, 3)
    return shapes


def _refiner():
    """Names and shapes of what MoGe-3 adds."""
    shapes = {}

    def layer(name, out, *into):
        shapes[f"refiner.{name}.weight"] = (out, *into)
        shapes[f"refiner.{name}.bias"] = (out,)

    def stage(name, width, blocks):
        for block in range(blocks):
            layer(f"{name}.{block}.norm1", width)
            layer(f"{name}.{block}.conv1", width, 3, 3, 3, width)
            layer(f"{name}.{block}.conv2", width, 3, 3, 3, width)

    last = REFINED[-1]
    layer("input_proj", REFINED[0], 3)
    layer("encoder_fuse", last, 14)
    layer("fuse_proj.0", last, 2 * last)
    layer("fuse_proj.2", last, last)
    layer("out_proj", 1, REFINED[0])
    stage("bottleneck_stage", last, BLOCKS_COARSEST)
    for level, width in enumerate(REFINED):
        stage(f"down_stages.{level}", width, BLOCKS_DOWN[level])
    for level, (fine, coarse) in enumerate(zip(REFINED[:-1], REFINED[1:])):
        layer(f"downsample_blocks.{level}.linear", coarse, fine)
        layer(f"upsample_blocks.{3 - level}.linear", fine, coarse)
        stage(f"up_stages.{3 - level}", fine, BLOCKS_UP[level])
    return shapes


def released(seed=0, refined=False):
    """Random tensors under the published names."""
    shapes = {
        "encoder.image_mean": (1, 3, 1, 1),
        "encoder.backbone.cls_token": (1, 1, WIDTH),
        "encoder.backbone.mask_token": (1, WIDTH),
        "encoder.backbone.pos_embed": (1, 1 + GRID * GRID, WIDTH),
        "encoder.backbone.patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "encoder.backbone.patch_embed.proj.bias": (WIDTH,),
    }
    for k in range(BLOCKS):
        block = f"encoder.backbone.blocks.{k}."
        for part, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes[f"{block}{part}.weight"] = (rows, columns)
            shapes[f"{block}{part}.bias"] = (rows,)
        for part in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[block + part] = (WIDTH,)
        shapes[f"{block}ls1.gamma"] = shapes[f"{block}ls2.gamma"] = (WIDTH,)
    for part in ("norm.weight", "norm.bias"):
        shapes[f"encoder.backbone.{part}"] = (WIDTH,)
    for k in range(4):
        shapes[f"encoder.output_projections.{k}.weight"] = (12, WIDTH, 1, 1)
        shapes[f"encoder.output_projections.{k}.bias"] = (12,)
    widths = (12, 8, 6, 5, 4)
    finer = (True, True, True, False)
    nothing = (None,) * 5
    shapes |= _stack("neck", (14, 2, 2, 2, 2), widths, nothing, (1, 2, 1, 0, 1), finer)
    for head, out in (("points_head", 3), ("mask_head", 1), ("normal_head", 3)):
        last = (*nothing[:4], out)
        shapes |= _stack(head, widths, (10, 8, 6, 4, 4), last, (0, 1, 1, 1, 0), finer)
    for place, rows in ((0, 16), (2, 16), (4, 1)):
        shapes[f"scale_head.{place}.weight"] = (rows, WIDTH if place == 0 else 16)
        shapes[f"scale_head.{place}.bias"] = (rows,)
    shapes |= _refiner() if refined else {}
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _linear(t, name, x):
    return F.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])


def _three(t, name, x):
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, t[f"{name}.weight"], t[f"{name}.bias"])


def _one(t, name, x):
    return F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"]) if f"{name}.weight" in t else x


def _norm(t, name, x):
    return F.layer_norm(x, (WIDTH,), t[f"{name}.weight"], t[f"{name}.bias"], 1e-6)


def _tokens(t, image, h, w):
    """Normed tokens after every block."""
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    small = F.interpolate(image, (h * PATCH, w * PATCH), mode="bilinear", antialias=True)
    base = "encoder.backbone"
    x = F.conv2d(
        (small - mean) / std,
        t[f"{base}.patch_embed.proj.weight"],
        t[f"{base}.patch_embed.proj.bias"],
        stride=PATCH,
    )
    places = t[f"{base}.pos_embed"]
    of_patches = places[:, 1:].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
    factors = ((h + 0.1) / GRID, (w + 0.1) / GRID)
    stretched = F.interpolate(of_patches, scale_factor=factors, mode="bicubic")
    x = (x + stretched).flatten(2).transpose(1, 2)
    x = torch.cat([t[f"{base}.cls_token"] + places[:, :1], x], dim=1)
    found = []
    for k in range(BLOCKS):
        name = f"{base}.blocks.{k}"
        qkv = _linear(t, f"{name}.attn.qkv", _norm(t, f"{name}.norm1", x))
        q, k_, v = qkv.reshape(1, -1, 3, 1, WIDTH).permute(2, 0, 3, 1, 4)
        weights = (q @ k_.transpose(-1, -2) / WIDTH**0.5).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(x.shape)
        x = x + t[f"{name}.ls1.gamma"] * _linear(t, f"{name}.attn.proj", mixed)
        inner = F.gelu(_linear(t, f"{name}.mlp.fc1", _norm(t, f"{name}.norm2", x)))
        x = x + t[f"{name}.ls2.gamma"] * _linear(t, f"{name}.mlp.fc2", inner)
        found.append(_norm(t, f"{base}.norm", x))
    return found


def _pyramid(t, name, features, blocks):
    found = []
    x = None
    for level, feature in enumerate(features):
        feature = _one(t, f"{name}.input_blocks.{level}", feature)
        if level == 0:
            x = feature
        else:
            key = f"{name}.resamplers.{level - 1}"
            if f"{key}.0.weight" in t:
                weight, bias = t[f"{key}.0.weight"], t[f"{key}.0.bias"]
                x = F.conv_transpose2d(x, weight, bias, stride=2)
            else:
                x = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = _three(t, f"{key}.1", x) + feature
        for block in range(blocks[level]):
            key = f"{name}.res_blocks.{level}.{block}.layers"
            x = x + _three(t, f"{key}.5", F.relu(_three(t, f"{key}.2", F.relu(x))))
        found.append(_one(t, f"{name}.output_blocks.{level}", x))
    return found


def _plane(h, w, aspect):
    """Half-diagonal coordinates of the published description."""
    across = aspect / (1 + aspect**2) ** 0.5 * (w - 1) / w
    down = 1 / (1 + aspect**2) ** 0.5 * (h - 1) / h
    x = torch.linspace(-across, across, w).expand(h, w)
    y = torch.linspace(-down, down, h)[:, None].expand(h, w)
    return torch.stack([x, y])[None]


def _dense_block(t, name, x, there):
    """x (C, H, W, Z), zero where no voxel is."""

    def convolved(part, h):
        weight = t[f"{name}.{part}.weight"].permute(0, 4, 1, 2, 3)
        return F.conv3d(h[None], weight, t[f"{name}.{part}.bias"], padding=1)[0] * there

    normed = F.layer_norm(
        x.movedim(0, -1), x.shape[:1], t[f"{name}.norm1.weight"], t[f"{name}.norm1.bias"], 1e-6
    )
    h = convolved("conv1", F.silu(normed).movedim(-1, 0) * there)
    return x + convolved("conv2", F.silu(h))


def _dense_linear(t, name, x, there):
    return _linear(t, f"refiner.{name}", x.movedim(0, -1)).movedim(-1, 0) * there


def _correction(t, log_depth, features):
    """What a volume of all cells adds to the log depth (H, W)."""
    height, width = log_depth.shape
    bins = (log_depth * 256).round().long()
    bins = bins - bins.min()
    depth = -(-(int(bins.max()) + 1) // 16) * 16
    own = F.one_hot(bins, depth).float()
    plane = _plane(height, width, width / height)[0]
    inputs = torch.cat([plane, log_depth[None]])[..., None] * own
    x = _dense_linear(t, "input_proj", inputs, own)
    kept = []
    there = own
    for level, blocks in enumerate(BLOCKS_DOWN):
        if level:
            kept.append((x, there))
            # sums over counts, of the cells that are there
            counts = F.avg_pool3d(there[None, None], 2)[0, 0]
            pooled = F.avg_pool3d(x[None], 2)[0] / counts.clamp(min=1e-9)
            there = (counts > 0).float()
            x = _dense_linear(t, f"downsample_blocks.{level - 1}.linear", pooled, there)
        for block in range(blocks):
            x = _dense_block(t, f"refiner.down_stages.{level}.{block}", x, there)
    told = _dense_linear(t, "encoder_fuse", features[..., None].expand(-1, -1, -1, depth // 16), 1)
    inner = F.silu(_dense_linear(t, "fuse_proj.0", torch.cat([x, told]), there))
    x = _dense_linear(t, "fuse_proj.2", inner, there)
    for block in range(BLOCKS_COARSEST):
        x = _dense_block(t, f"refiner.bottleneck_stage.{block}", x, there)
    for number in range(4):
        skipped, there = kept.pop()
        x = F.interpolate(
            _dense_linear(t, f"upsample_blocks.{number}.linear", x, 1)[None], scale_factor=2
        )
        x = x[0] * there + skipped
        for block in range(BLOCKS_UP[3 - number]):
            x = _dense_block(t, f"refiner.up_stages.{number}.{block}", x, there)
    return (_dense_linear(t, "out_proj", x, 1)[0] * own).sum(-1)


def _run(t, image, tokens):
    height, width = image.shape[-2:]
    aspect = width / height
    h, w = round((tokens / aspect) ** 0.5), round((tokens * aspect) ** 0.5)
    layers = _tokens(t, image, h, w)
    grid = 0
    for k, layer in enumerate(layers):  # a block apart: (4 // 4) (k + 1) - 1 = k
        patches = layer[:, 1:].transpose(1, 2).reshape(1, WIDTH, h, w)
        grid = grid + _one(t, f"encoder.output_projections.{k}", patches)
    planes = [_plane(h << k, w << k, aspect) for k in range(5)]
    placed = torch.cat([grid, planes[0]], 1)
    neck = _pyramid(t, "neck", [placed, *planes[1:]], (1, 2, 1, 0, 1))

    def head(name):
        return _pyramid(t, name, neck, (0, 1, 1, 1, 0))[-1]

    def on_pixels(plane):
        return F.interpolate(plane, (height, width), mode="bilinear")

    coordinates = head("points_head")
    for _ in range(3 if "refiner.out_proj.weight" in t else 0):
        coordinates[0, 2] += _correction(t, coordinates[0, 2], placed[0])
    x, y, z = on_pixels(coordinates)[0]
    points = torch.stack([x * z.exp(), y * z.exp(), z.exp()], -1)
    told = layers[-1][:, 0]
    for place in (0, 2):
        told = F.relu(_linear(t, f"scale_head.{place}", told))
    return (
        points,
        on_pixels(head("mask_head"))[0, 0].sigmoid(),
        _linear(t, "scale_head.4", told).exp(),
    )


def _same(tensors, size, tokens, agree=0.9999):
    """Both ways of summing, compared; the points."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    points, mask, scale = _run(tensors, image, tokens)
    with torch.no_grad():
        seen = moge.load(tensors)(image, tokens)
    # a voxel at the edge of its bin may be rounded to another one
    assert torch.isclose(seen.points[0], points, atol=1e-4, rtol=1e-4).float().mean() > agree
    assert torch.allclose(seen.mask[0], mask, atol=1e-5)
    assert torch.allclose(seen.scale, scale.ravel(), rtol=1e-4)
    return points


@pytest.mark.parametrize("size", [(40, 60), (56, 56)])
def test_random_weights_of_the_released_layout_give_the_published_sums(size):
    _same(released(), size, 24)


def test_the_sparse_volume_of_moge_3_gives_the_sums_of_a_dense_one():
    tensors = released(refined=True)
    tensors["points_head.output_blocks.4.weight"] *= 0.2  # few bins
    refined = _same(tensors, (40, 60), 6, agree=0.9)
    plain = {name: t for name, t in tensors.items() if not name.startswith("refiner.")}
    assert (refined - _same(plain, (40, 60), 6)).abs().median() > 0.01


def test_what_is_not_a_release_is_said():
    tensors = released()
    assert moge.is_moge(tensors)
    normed = tensors | {"neck.res_blocks.1.0.layers.0.weight": torch.ones(8)}
    with pytest.raises(CheckpointError, match="norms"):
        moge.load(normed)
    del tensors["scale_head.2.weight"]
    with pytest.raises(CheckpointError, match=r"missing|scale_head"):
        moge.load(tensors)


@pytest.mark.parametrize("known", [False, True])
def test_focal_length_and_shift_are_those_of_the_camera_that_saw_the_points(known):
    height, width, focal = 80, 120, 0.9
    rng = np.random.default_rng(0)
    depth = 2 + 0.5 * rng.random((height, width))
    x = (np.arange(width) + 0.5 - width / 2) / (focal * width)
    y = (np.arange(height) + 0.5 - height / 2) / (focal * width)
    points = np.stack([x * depth, y[:, None] * depth, depth - 0.7], axis=-1)
    mask = rng.random((height, width)) > 0.2
    points[~mask] = 9.0
    found, shift = focal_and_shift(points, mask, focal if known else None)
    assert found == pytest.approx(focal, rel=1e-4) and shift == pytest.approx(0.7, rel=1e-3)
