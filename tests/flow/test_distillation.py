"""Score distillation with priors whose score is known in closed form, and with a tiny attention
network.
"""

import pytest
import torch
from torch import nn

from maquette.errors import InputError
from maquette.flow.ddpm import LinearSchedule, add_noise
from maquette.flow.distillation import sds_loss
from maquette.flow.guidance import guided_noise

SIGNAL = LinearSchedule().signal()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Gaussian:
    """Pictures of every prompt are N(mean of the prompt, deviation^2); the best guess of the noise
    is linear. Latents are 2 x - 1.
    """

    size = 4
    schedule = LinearSchedule()

    def __init__(self, means, deviation=0.1):
        self.means = means
        self.deviation = deviation
        self.asked = []

    def context(self, prompts):
        return torch.stack([self.means[p].double() for p in prompts])[:, None]

    def encode(self, pictures):
        return 2 * pictures - 1

    def noise(self, x_t, step, context, gain=None):
        self.asked.append((x_t, step))
        a = SIGNAL[step].reshape(-1, 1, 1, 1)
        mean = 2 * context[:, 0].reshape(-1, 3, 4, 4) - 1
        return (1 - a).sqrt() * (x_t - a.sqrt() * mean) / (4 * a * self.deviation**2 + 1 - a)


MEANS = {"a chair": torch.rand(48, generator=seeded(1)), "": torch.rand(48, generator=seeded(2))}


@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_the_gradient_is_the_weighted_error_of_the_noise(guidance):
    prior = Gaussian(MEANS)
    pictures = torch.rand(5, 3, 4, 4, generator=seeded(3), dtype=torch.float64, requires_grad=True)
    loss = sds_loss(prior, pictures, "a chair", generator=seeded(4), guidance=guidance)
    loss.backward()
    generator = seeded(4)  # the documented draws: steps, then noise
    step = torch.randint(800, 901, (5,), generator=generator)
    noise = torch.randn(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    x_t = add_noise(2 * pictures.detach() - 1, noise, SIGNAL[step])
    conditional, unconditional = (
        prior.noise(x_t, step, prior.context([p] * 5)) for p in ("a chair", "")
    )
    error = unconditional + guidance * (conditional - unconditional) - noise
    weight = (1 - SIGNAL[step]).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(pictures.grad, 2 * weight * error / 5)  # 2 is the encoder's slope
    torch.testing.assert_close(loss.detach(), 0.5 * (weight * error**2).sum() / 5)
    assert len(prior.asked[0][0]) == (
        5 if guidance == 1.0 else 10
    )  # one pass, and half of it without guidance


def test_descent_ends_at_the_mean_of_what_the_prior_knows():
    prior = Gaussian(MEANS)
    generator = seeded(5)
    picture = torch.rand(1, 3, 4, 4, generator=seeded(6), dtype=torch.float64, requires_grad=True)
    trail = []
    for turn in range(1500):
        loss = sds_loss(
            prior,
            picture.expand(8, -1, -1, -1),
            "a chair",
            generator=generator,
            guidance=1.0,
            steps=(100, 900),
        )
        (slope,) = torch.autograd.grad(loss, picture)
        picture = (picture - 0.02 * slope).detach().requires_grad_()
        if turn >= 500:
            trail.append(picture.detach())
    goal = MEANS["a chair"].double().reshape(1, 3, 4, 4)
    torch.testing.assert_close(torch.stack(trail).mean(0), goal, atol=0.01, rtol=0)


class Attending(nn.Module):
    """Noise from one cross-attention with trainable weights: enough for the gain to matter."""

    size = 4
    schedule = LinearSchedule()

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.query = nn.Linear(3, 6)
        self.key = nn.Linear(5, 6)
        self.value = nn.Linear(5, 3)
        self.encoder = nn.Conv2d(3, 3, 1)

    def context(self, prompts):
        return torch.stack([torch.randn(4, 5, generator=seeded(len(p))) for p in prompts])

    def encode(self, pictures):
        return self.encoder(pictures)

    def noise(self, x_t, step, context, gain=None):
        q = self.query(x_t.flatten(2).mT)
        maps = (q @ self.key(context).mT).softmax(-1)
        if gain is not None:
            maps = maps * gain[:, None]
        return (maps @ self.value(context)).mT.reshape(x_t.shape) + 0.1 * x_t


def gradient(**options):
    pictures = torch.rand(2, 3, 4, 4, generator=seeded(8)).requires_grad_()
    prior = Attending()
    loss = sds_loss(prior, pictures, ["a lamp", "a box on it"], generator=seeded(9), **options)
    loss.backward()
    assert all(weight.grad is None for weight in prior.parameters())
    return loss.detach(), pictures.grad


def test_a_gain_of_one_is_plain_distillation_bit_for_bit_and_another_is_not():
    loss, plain = gradient()
    for ones in (torch.ones(4), torch.ones(2, 4)):
        same_loss, same = gradient(gain=ones)
        assert torch.equal(plain, same) and torch.equal(loss, same_loss)
    _, louder = gradient(gain=torch.tensor([1.0, 1.0, 25.0, 1.0]))
    assert not torch.allclose(plain, louder, rtol=0.1)
    quiet = gradient(gain=torch.tensor([[1.0, 1.0, 25.0, 1.0], [1.0] * 4]))[1]
    assert torch.equal(quiet[0], louder[0]) and torch.equal(quiet[1], plain[1])


def test_the_gain_acts_on_the_prompt_only():
    loud = torch.full((4,), 3.0)
    torch.testing.assert_close(
        gradient(gain=loud, guidance=0.0)[1], gradient(guidance=0.0)[1]
    )  # only the unconditional prompt is left


def test_the_same_generator_gives_the_same_loss_and_steps_stay_in_their_range():
    assert torch.equal(gradient()[1], gradient()[1])
    prior = Gaussian(MEANS)
    generator = seeded(10)
    for _ in range(40):
        sds_loss(
            prior,
            torch.zeros(8, 3, 4, 4).double(),
            "a chair",
            generator=generator,
            steps=(3, 5),
            guidance=1.0,
        )
    assert set(torch.cat([step for _, step in prior.asked]).tolist()) == {3, 4, 5}


def test_pictures_of_another_size_are_resized_and_still_pulled():
    pictures = torch.full((1, 3, 12, 8), 0.4, dtype=torch.float64, requires_grad=True)
    prior = Gaussian(MEANS)
    sds_loss(prior, pictures, "a chair", generator=seeded(), guidance=1.0).backward()
    assert prior.asked[0][0].shape == (1, 3, 4, 4) and (pictures.grad != 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": (800, 1000)},
        {"steps": (9, 3)},
        {"gain": torch.ones(3)},
        {"prompt": ["a chair"] * 3},
        {"pictures": torch.zeros(3, 4, 4)},
        {"pictures": torch.zeros(0, 3, 4, 4)},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(changes):
    given = {"pictures": torch.zeros(2, 3, 4, 4), "prompt": "a lamp", "generator": seeded()}
    with pytest.raises(InputError):
        sds_loss(Attending(), **given | changes)


@pytest.mark.parametrize("weight", [0.0, 1.0, 7.5])
def test_guidance_leads_from_what_is_said_without_words_through_what_is_said_with_them(weight):
    def network(x, steps):
        words = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(-1, 1, 1, 1)
        return words * x + steps.reshape(-1, 1, 1, 1)

    x = torch.arange(24.0).reshape(2, 3, 2, 2)
    said = guided_noise(network, x, torch.tensor([3.0, 5.0]), weight)
    torch.testing.assert_close(said, weight * x + torch.tensor([3.0, 5.0]).reshape(2, 1, 1, 1))
