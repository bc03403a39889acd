"""The embedded text-to-image model: words act through their attention maps only, padding never
acts, and holes are filled.
"""

import pytest
import torch

from maquette.flow.ddpm import add_noise, angular_velocity, data_from_noise
from maquette.models.image_prior import ImagePrior
from maquette.models.text_to_image import (
    TextToImage,
    TextToImageConfig,
    WordAttention,
    Words,
    hidden,
)
from tests.models.test_image_prior import lacking

CONFIG = TextToImageConfig(
    ("red", "blue", "box chair", "on", "a"),
    size=32,
    length=8,
    word_width=16,
    word_blocks=1,
    word_heads=2,
    widths=(8, 16, 16),
    blocks=1,
    heads=2,
    time_width=16,
)


@pytest.fixture(scope="module")
def prior() -> TextToImage:
    """A model that has left its initial state, in which the last layers are zero."""
    torch.manual_seed(0)
    model = TextToImage(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter) / max(parameter[0].numel(), 4) ** 0.5)
    return model.requires_grad_(False)


def noisy(count=2, seed=0):
    return torch.randn(
        (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed)
    ), torch.full((count,), 700)


def test_it_is_an_image_prior_that_fits_the_package(prior):
    assert (
        lacking(TextToImage, ImagePrior) == [] and prior.size == 32 and prior.schedule.steps == 1000
    )
    from maquette.models.sentences import VOCABULARY

    default = TextToImage(TextToImageConfig(VOCABULARY))
    assert 2 * sum(p.numel() for p in default.parameters()) <= 3.4e6  # bytes in half precision


def test_words_are_those_of_the_prompt_cut_to_their_number(prior):
    prompt = "A red box on a chair"
    words = prior.words(prompt)
    assert (
        words == ("<start>", "a", "red", "box", "on", "a", "chair")
        and len(prior.words(prompt * 5)) == CONFIG.length
    )


def test_a_prompt_means_the_same_next_to_a_longer_one(prior):
    (x, step) = noisy(1)
    alone = prior.context(["red box"])
    together = prior.context(["a red box on a chair", "red box"])[1:]
    torch.testing.assert_close(
        prior.noise(x, step, together), prior.noise(x, step, alone), atol=1e-5, rtol=1e-5
    )
    other = prior.noise(x, step, prior.context(["blue box"]))
    assert (other - prior.noise(x, step, alone)).abs().max() > 1e-3
    torch.testing.assert_close(prior.context(["red chair"]), prior.context(["red box"]))  # synonyms


def test_gain_of_one_changes_nothing_and_gain_multiplies_one_words_map(prior):
    (x, step) = noisy(1)
    context = prior.context(["a red box"])
    gain = torch.ones(1, CONFIG.length)
    plain = prior.noise(x, step, context)
    torch.testing.assert_close(prior.noise(x, step, context, gain), plain, atol=0, rtol=0)
    gain[0, 5] = 25.0  # padding has no map to multiply
    torch.testing.assert_close(prior.noise(x, step, context, gain), plain, atol=0, rtol=0)
    gain[0, 2] = 25.0
    assert (prior.noise(x, step, context, gain) - plain).abs().max() > 1e-3


def test_gain_is_the_sum_of_values_with_multiplied_weights():
    torch.manual_seed(1)
    attention = WordAttention(8, 6, 2)
    x = torch.randn(1, 5, 8)
    tokens = torch.randn(1, 3, 6)
    gain = torch.tensor([[1.0, 25.0, 1.0]])
    out = attention(x, Words(tokens, torch.zeros(1, 1, 1, 3), gain[:, None, None]))
    key, value = (
        attention.to_kv(tokens)[0, :, k * 8 : k * 8 + 8].reshape(3, 2, 4) for k in range(2)
    )
    query = attention.to_q(x)[0].reshape(5, 2, 4)
    by_hand = torch.zeros(5, 8)
    for q in range(5):
        for h in range(2):
            weights = torch.softmax(torch.stack([query[q, h] @ key[w, h] / 2 for w in range(3)]), 0)
            by_hand[q, h * 4 : h * 4 + 4] = sum(
                gain[0, w] * weights[w] * value[w, h] for w in range(3)
            )
    torch.testing.assert_close(out[0], attention.to_out(by_hand))


def test_noise_belongs_to_the_velocity(prior):
    """Data recovered from the noise is data recovered from the velocity: eps and v are one
    statement.
    """
    (x, step) = noisy(1)
    context = prior.context(["box"])
    signal = prior.schedule.signal()[step]
    noise = prior.noise(x, step, context)
    velocity = prior.velocity(x, step, context)
    data = data_from_noise(x, noise, signal)
    torch.testing.assert_close(add_noise(data, noise, signal), x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        angular_velocity(data, noise, signal), velocity, atol=1e-4, rtol=1e-4
    )


def test_pictures_come_back_from_latents_and_gradients_pass(prior):
    pictures = torch.rand(1, 3, 32, 32, requires_grad=True)
    latents = prior.encode(pictures)
    torch.testing.assert_close(prior.decode(latents), pictures)
    latents.sum().backward()
    torch.testing.assert_close(pictures.grad, torch.full_like(pictures, 2.0))


def test_inpainting_keeps_what_is_known_and_looks_at_it(prior):
    pictures = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(3))
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:20, 8:24] = 1
    made = prior.inpaint(pictures, masks, ["red box", "a chair"], [1, 2], steps=3)
    known = (masks == 0).expand_as(pictures)
    assert torch.equal(made[known], pictures[known]) and made.min() >= 0 and made.max() <= 1
    again = prior.inpaint(
        pictures[1:], masks[1:], ["a chair"], [2], steps=3
    )  # alone, with its own seed
    torch.testing.assert_close(again, made[1:], atol=1e-4, rtol=1e-4)
    assert (
        prior.inpaint(pictures[1:], masks[1:], ["a chair"], [5], steps=3) - again
    ).abs().max() > 1e-3
    elsewhere = pictures.clone()
    elsewhere[:, :, :8] = 1 - elsewhere[:, :, :8]
    assert (prior.inpaint(elsewhere, masks, ["red box", "a chair"], [1, 2], steps=3) - made)[
        ~known
    ].abs().max() > 1e-4
    covered = torch.where(
        masks > 0, torch.rand_like(pictures), pictures
    )  # what is under the hole does not count
    torch.testing.assert_close(
        prior.inpaint(covered, masks, ["red box", "a chair"], [1, 2], steps=3), made
    )


def test_a_hole_everywhere_is_text_to_image(prior):
    pictures = torch.rand(1, 3, 32, 32)
    masks = torch.ones(1, 1, 32, 32)
    torch.testing.assert_close(
        prior.inpaint(pictures, masks, ["red box"], [4], 3, 2.0),
        prior.generate(["red box"], [4], 3, 2.0),
    )
    (x, step) = noisy(1)
    context = prior.context(["red box"])
    blank = hidden(prior.encode(pictures), masks)
    torch.testing.assert_close(
        prior.velocity(x, step, context, masked=blank), prior.velocity(x, step, context)
    )


def test_half_precision_gradients_agree_with_full_ones(prior):
    """Convolutions over tiny grids have had wrong gradients in bfloat16."""
    model = TextToImage(CONFIG)
    (x, step) = noisy(4)
    model.load_state_dict(prior.state_dict())

    def gradients(half: bool) -> torch.Tensor:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = (
                (model.velocity(x, step, model.context(["red box", "a", "", "blue"])).float() - x)
                .square()
                .mean()
            )
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    assert torch.cosine_similarity(gradients(True), gradients(False), dim=0) > 0.995
