"""The light on single pixels against formulas: planes, texture, shadows, highlight, grain."""

import dataclasses

import numpy as np
import pytest

from maquette.data.backgrounds import TILE
from maquette.data.illumination.kernels import (
    NOTHING,
    Eye,
    LightChannel,
    LightColours,
    Material,
    SeenObjects,
    ShadowMaps,
    TexturedPlanes,
    light_pixels,
    meet_planes,
)
from maquette.render.tones import linear

F = np.float32
SIDE = 4  # of the picture; its buffers are twice as large
FOCAL = 2.0 * SIDE
ALBEDO = np.array([0.3, 0.6, 0.9], F)
KEY = np.array([0.7, 0.6, 0.5])
SKY = np.array([0.3, 0.4, 0.5])
GROUND = np.array([0.2, 0.1, 0.05])
DOWN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # world from x, y, 1 of a ray


@dataclasses.dataclass(frozen=True)
class Stage:
    """An eye at height 1 that looks straight down; ``ground`` is whether a floor lies at y = 0."""

    ground: bool = True
    texture: np.ndarray | None = None  # (TILE, TILE, 3) uint8; None = of the colour ALBEDO
    tile_side: float = 100.0
    suns: np.ndarray = dataclasses.field(default_factory=lambda: np.array([[0.0, 1.0, 0.0]]))
    sun_depth: float = NOTHING
    sky_depth: float = NOTHING
    shadow: float = 1.0
    occlusion: float = 1.0
    specular: float = 0.0
    gloss: float = 10.0
    grain: float = 0.0
    thing: bool = False  # an object of the colour ALBEDO fills the picture at depth 0.5

    def eye(self) -> Eye:
        centred = np.array([[1, 0, -SIDE], [0, 1, -SIDE], [0, 0, FOCAL]]) / FOCAL
        rows = (DOWN @ centred).astype(F)
        return Eye((F(0.0), F(1.0), F(0.0)), tuple(map(tuple, rows)), F(FOCAL))

    def planes(self) -> TexturedPlanes:
        count = int(self.ground)
        plain = np.broadcast_to(np.rint(255 * ALBEDO).astype(np.uint8), (TILE, TILE, 3))
        tile = plain if self.texture is None else self.texture
        axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], F) / F(self.tile_side)
        return TexturedPlanes(
            offsets=np.array([[0.0, -1.0, 0.0]], F)[:count],
            normals=np.array([[0.0, 1.0, 0.0]], F)[:count],
            axes=axes[: 2 * count],
            shifts=np.zeros((count, 2), F),
            means=(tile.mean((0, 1), dtype=F) / F(255))[None][:count],
            textures=np.ascontiguousarray(tile)[None][:count],
        )

    def light(self, backdrop: float = 0.0) -> np.ndarray:
        """(SIDE, SIDE, 3) linear light of the picture."""
        size = (2 * SIDE, 2 * SIDE)
        depth = np.full(size, 0.5 if self.thing else np.inf, F)
        normal = np.broadcast_to(F([0.0, 1.0, 0.0]), (*size, 3)).copy()
        albedo = np.broadcast_to(ALBEDO, (*size, 3)).copy()
        seen = SeenObjects(depth, normal, albedo, np.zeros(size, np.int32))
        channels = (LightChannel(*map(F, channel)) for channel in zip(KEY, SKY, GROUND))
        light = LightColours(*channels, F(self.shadow), F(self.occlusion))
        both = np.ones(2, F)  # of the planes and of the object
        tile = np.linspace(-1.0, 1.0, TILE, dtype=F)[:, None].repeat(TILE, 1)
        material = Material(
            F(self.specular) * both, F(self.gloss) * both, F(self.grain) * both, both, tile
        )
        out = np.zeros((SIDE, SIDE, 3), F)
        behind = np.full((SIDE, SIDE, 3), backdrop, F)
        sun = flat_maps(np.repeat(self.suns, 4, axis=0), self.sun_depth)
        sky = flat_maps(np.repeat([[0.0, 1.0, 0.0]], 4, axis=0), self.sky_depth)
        eye, planes, lift = self.eye(), self.planes(), F(1e-3)
        light_pixels(seen, eye, planes, behind, light, sun, sky, material, lift, out)
        return out


def flat_maps(towards: np.ndarray, depth: float) -> ShadowMaps:
    """Maps of 8 x 8 texels, half a unit wide each, all as deep as ``depth`` towards the lights."""
    towards = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    texels = np.zeros((len(towards), 3, 4), F)
    texels[:, 0, 0] = texels[:, 1, 2] = 2.0
    texels[:, :2, 3] = 3.5
    return ShadowMaps(np.full((len(towards), 8, 8), depth, F), texels, towards.astype(F))


def diffuse(cosine: float, lit: float = 1.0, dome: float = 1.0) -> np.ndarray:
    """What a surface of the colour ALBEDO that looks up sends out."""
    stored = np.rint(255 * ALBEDO) / 255
    return linear(stored) * (dome * SKY + lit * cosine * KEY)


@pytest.mark.compiles
def test_where_nothing_is_the_backdrop_is_seen():
    np.testing.assert_allclose(Stage(ground=False).light(backdrop=0.37), 0.37, rtol=1e-6)


@pytest.mark.compiles
def test_planes_are_met_where_rays_cross_them_and_from_their_front_only():
    stage = Stage()
    depth = np.full((2 * SIDE, 2 * SIDE), np.inf, F)
    depth[0, 0] = 0.25  # nearer than the plane
    normal = np.zeros((*depth.shape, 3), F)
    meet_planes(depth, normal, stage.eye(), stage.planes())
    assert depth[0, 0] == F(0.25) and not normal[0, 0].any()
    np.testing.assert_allclose(depth.ravel()[1:], 1.0, rtol=1e-6)  # z-depth, not distance
    np.testing.assert_array_equal(normal.reshape(-1, 3)[1:], [[0.0, 1.0, 0.0]] * (depth.size - 1))
    below = stage.planes()._replace(normals=F([[0.0, -1.0, 0.0]]))
    unseen = np.full_like(depth, np.inf)
    meet_planes(unseen, normal, stage.eye(), below)
    assert np.isinf(unseen).all()


@pytest.mark.parametrize("angle", [0.0, 0.7, 1.2])
def test_an_open_floor_follows_lamberts_law(angle):
    suns = np.array([[np.sin(angle), np.cos(angle), 0.0]])
    expected = diffuse(np.cos(angle))
    np.testing.assert_allclose(
        Stage(suns=suns).light(), expected[None, None] + np.zeros((4, 4, 1)), rtol=1e-4
    )


@pytest.mark.parametrize("shadow", [0.0, 0.4, 1.0])
def test_what_is_hidden_from_the_sun_loses_the_share_of_the_shadow(shadow):
    light = Stage(sun_depth=-NOTHING, shadow=shadow).light()
    np.testing.assert_allclose(light[1, 1], diffuse(1.0, lit=1.0 - shadow), rtol=1e-4)


@pytest.mark.parametrize("occlusion", [1.0, 1.4])
def test_what_is_hidden_from_the_sky_keeps_a_trace_of_it(occlusion):
    seen = 0.02 / 1.02  # the test begins with 0.02 of 0.02
    dome = seen * (1.0 - (occlusion - 1.0) * (1.0 - seen))
    light = Stage(sky_depth=-NOTHING, occlusion=occlusion).light()
    np.testing.assert_allclose(light[1, 1], diffuse(1.0, dome=dome), rtol=1e-4)


def test_a_shadow_fades_bilinearly_over_one_texel():
    half_hidden = flat_maps(np.array([[0.0, 1.0, 0.0]] * 4), NOTHING)
    half_hidden.depth[:, :, 4:] = -NOTHING
    sky = flat_maps(np.array([[0.0, 1.0, 0.0]] * 4), NOTHING)
    size = (2, 64)  # a row of pixels, whose points lie at x from -1 to 1
    x = (np.arange(64) + 0.5) / 32 - 1.0
    rows = ((F(1 / 32), F(0.0), F(-1.0)), (F(0.0), F(0.0), F(-1.0)), (F(0.0), F(0.0), F(0.0)))
    eye = Eye((F(0.0), F(1.0), F(0.0)), rows, F(32.0))
    up = np.broadcast_to(F([0.0, 1.0, 0.0]), (*size, 3)).copy()
    white = np.ones((*size, 3), F)
    seen = SeenObjects(np.ones(size, F), up, white, np.zeros(size, np.int32))
    black = LightChannel(F(1.0), F(0.0), F(0.0))
    light = LightColours(black, black, black, F(1.0), F(1.0))
    none = np.zeros(2, F)
    material = Material(none, none, none, none, np.zeros((TILE, TILE), F))
    out = np.zeros((1, 32, 3), F)
    planes = Stage(ground=False).planes()
    light_pixels(
        seen, eye, planes, np.zeros_like(out), light, half_hidden, sky, material, F(1e-3), out
    )
    column = 2.0 * x + 3.5  # in texels, whose centres are whole numbers
    inside = 1.0 - np.clip(column - 3.0, 0.0, 1.0)
    expected = inside.reshape(-1, 2).mean(1) * linear(np.ones(1))
    np.testing.assert_allclose(out[0, :, 0], expected, atol=1e-5)
    assert 0 < ((out[0, :, 0] > 0.05) & (out[0, :, 0] < 0.95)).sum() <= 9


def test_the_highlight_is_blinn_and_phongs():
    towards = np.array([0.6, 0.8, 0.0])
    stage = Stage(thing=True, suns=towards[None], specular=0.3, gloss=12.0)
    shine = stage.light() - dataclasses.replace(stage, specular=0.0).light()
    centres = (np.arange(2 * SIDE) + 0.5 - SIDE) / FOCAL
    x, z = np.meshgrid(centres, centres)
    to_eye = -np.stack([x, -np.ones_like(x), z], axis=-1)
    to_eye /= np.linalg.norm(to_eye, axis=-1, keepdims=True)
    halfway = to_eye + towards
    cosine = halfway[..., 1] / np.linalg.norm(halfway, axis=-1)
    samples = 0.3 * cosine**12
    expected = samples.reshape(SIDE, 2, SIDE, 2).mean((1, 3))[..., None] * KEY
    np.testing.assert_allclose(shine, expected, rtol=2e-3)


def test_grain_changes_the_colour_of_objects_by_its_share():
    plain = Stage(thing=True)
    grained = dataclasses.replace(plain, grain=0.1)
    changed = grained.light() - plain.light()
    assert np.abs(changed).max() > 0.005
    # the tile is -1 to 1 along z: by at most a tenth, in opposite ways on both sides of z = 0
    darkest, brightest = (linear(ALBEDO * share) * (SKY + KEY) for share in (0.9, 1.1))
    assert (grained.light() > darkest - 1e-5).all() and (grained.light() < brightest + 1e-5).all()


def test_a_texture_is_sampled_bilinearly_and_repeats():
    texture = np.random.default_rng(0).integers(0, 255, (TILE, TILE, 3)).astype(np.uint8)
    stage = Stage(texture=texture, tile_side=TILE / 10.0)  # ten texels a unit
    centres = (np.arange(2 * SIDE) + 0.5 - SIDE) / FOCAL * 10.0  # in texels
    low = np.floor(centres).astype(int)
    part = (centres - low)[:, None]
    rows = (1 - part[..., None]) * texture[low % TILE] + part[..., None] * texture[(low + 1) % TILE]
    colours = (1 - part) * rows[:, low % TILE] + part * rows[:, (low + 1) % TILE]
    samples = linear(colours / 255) * (SKY + KEY)
    expected = samples.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))
    np.testing.assert_allclose(stage.light(), expected, rtol=1e-3, atol=1e-4)


def test_a_far_texture_is_its_mean():
    stripes = np.zeros((TILE, TILE, 3), np.uint8)
    stripes[::2] = 200
    light = Stage(texture=stripes, tile_side=0.01).light()
    np.testing.assert_allclose(light[0, 0], linear(np.full(3, 100 / 255)) * (SKY + KEY), rtol=1e-3)
