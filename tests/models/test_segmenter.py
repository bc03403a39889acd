"""The segmenter: what prompts are drawn as, what is compared, and how answers hang on both."""

import math

import pytest
import torch

from maquette.models.segmenter import (
    KEPT_MAPS,
    NEAR,
    PROMPTS,
    Compared,
    SegmenterConfig,
    SegmenterNet,
    click_plane,
)

TINY = SegmenterConfig(size=64, widths=(8, 8, 16, 32), blocks=1, heads=2)


@pytest.fixture(scope="module")
def net():
    """A tiny network whose weights are waves, the same on every machine and of every version."""
    found = SegmenterNet(TINY).eval()
    with torch.no_grad():
        for number, parameter in enumerate(found.parameters()):
            steps = torch.arange(parameter.numel(), dtype=torch.float64) * (0.37 + 0.01 * number)
            wave = torch.sin(steps).reshape(parameter.shape)
            if parameter.ndim > 1:
                fan = parameter[0].numel()
                parameter.copy_(wave * math.sqrt(2 / fan))
            else:
                parameter.copy_(0.1 * wave)
    return found


def picture():
    across = torch.linspace(-1, 1, 64)
    rows = [torch.sin(3 * across[:, None] + k * across) for k in (1, 2, 5)]
    return torch.stack(rows)[None]


def prompts(*points, plane=0):
    planes = torch.zeros(1, PROMPTS, 32, 32)
    planes[0, plane] = click_plane(torch.tensor(points).reshape(-1, 2), (32, 32))
    return planes


def test_a_click_is_one_where_it_is_and_falls_with_distance():
    plane = click_plane(torch.tensor([[5.5 / 32, 9.5 / 32]]), (32, 32))
    assert plane[9, 5] == 1 == plane.max()
    assert float(plane[9, 21]) == pytest.approx(math.exp(-0.5 / NEAR))
    torch.testing.assert_close(plane[9, 0:5], plane[9, 6:11].flip(0))
    torch.testing.assert_close(plane[13, 8], plane[12, 9])  # 4 and 3 away, 3 and 4 away


def test_of_several_clicks_the_nearest_counts_and_none_is_nothing():
    first, second = [0.2, 0.3], [0.7, 0.6]
    both = click_plane(torch.tensor([first, second]), (16, 24))
    alone = [click_plane(torch.tensor([place]), (16, 24)) for place in (first, second)]
    torch.testing.assert_close(both, torch.maximum(*alone))
    assert not click_plane(torch.zeros(0, 2), (16, 24)).any()


def test_places_are_compared_by_direction():
    """Features of two kinds, left and right: a click on one is like it and unlike the other."""
    compared = Compared(4)
    with torch.no_grad():
        compared.project.weight.zero_()
        compared.project.weight[:4, :, 0, 0] = torch.eye(4)
        compared.project.bias.zero_()
    features = torch.zeros(1, 4, 8, 8)
    features[:, 0, :, :4] = 2.0
    features[:, 1, :, 4:] = 5.0
    planes = torch.zeros(1, PROMPTS, 8, 8)
    planes[0, 0, 3, 1] = 1.0
    planes[0, 2, 2:6, 4:] = 1.0
    alike = compared(features, planes)[0]
    click, negative, boxed, before, outside = alike
    left = torch.zeros(8, 8)
    left[:, :4] = 1
    torch.testing.assert_close(click, left)
    torch.testing.assert_close(boxed, 1 - left)
    assert not negative.any() and not before.any()  # they mark nothing
    # outside of the box are 32 places of the left kind and 16 of the right one, of unit length
    torch.testing.assert_close(outside, (32 * left + 16 * (1 - left)) / math.hypot(32, 16))


def test_maps_come_at_all_strides(net):
    maps = net.look(picture())
    sides = [64 // 2**k for k in range(1, 6)]
    assert [tuple(found.shape) for found in maps] == [
        (1, width, side, side) for width, side in zip(KEPT_MAPS, sides)
    ]


@torch.no_grad()
def test_answers_do_not_hang_on_the_batch(net):
    maps = net.look(picture())
    one, other = prompts([0.3, 0.3]), prompts([0.8, 0.7], plane=1)
    twice = net([found.expand(2, -1, -1, -1) for found in maps], torch.cat([one, other]))
    for number, planes in enumerate((one, other)):
        alone = net(maps, planes)
        torch.testing.assert_close(twice.logits[number], alone.logits[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(twice.quality[number], alone.quality[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_every_prompt_counts(net):
    maps = net.look(picture())
    answers = [net(maps, prompts([0.3, 0.6], plane=plane)).logits for plane in range(PROMPTS)]
    answers.append(net(maps, torch.zeros(1, PROMPTS, 32, 32)).logits)
    for number, answer in enumerate(answers):
        for other in answers[:number]:
            assert (answer - other).abs().max() > 1e-3


@torch.no_grad()
def test_golden(net):
    """What this architecture has made of these weights since it was trained with."""
    found = net(net.look(picture()), prompts([0.3, 0.6]))
    logits = found.logits[0]
    spots = (logits[[3, 20, 9], [4, 28, 16]] - logits.mean()) / logits.std()
    told = [*spots.tolist(), float(found.quality)]
    assert told == pytest.approx(GOLDEN, abs=0.01)


GOLDEN = [-2.386, 0.505, 0.144, 0.376]
