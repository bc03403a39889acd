"""Stable Diffusion as an image prior, with tiny random weights: gains act on the words' maps only,
and a folder is enough.
"""

import json
import sys

import numpy as np
import pytest
import torch

from maquette.checkpoints.diffusers_prior import DiffusersPrior, TabulatedSchedule, open_prior
from maquette.checkpoints.embedded import load_models
from maquette.errors import CheckpointError, MissingExtraError
from maquette.flow.ddpm import LinearSchedule, ddim
from maquette.flow.distillation import sds_loss
from maquette.methods.comboverse.complete import complete
from maquette.models.image_prior import ImagePrior
from maquette.models.words import spatial_words
from tests.methods.comboverse.test_complete import hidden_world
from tests.models.test_image_prior import lacking

diffusers = pytest.importorskip("diffusers", reason="needs the extra maquette[hub]")
transformers = pytest.importorskip("transformers", reason="needs the extra maquette[hub]")

LENGTH = 8


def tokenizer(folder):
    """Byte-pair tokens of single letters, and of a few words."""
    merges = ["r e", "re d</w>", "o n</w>", "b o", "bo x</w>"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [
        *letters,
        *(f"{c}</w>" for c in letters),
        *("".join(m.split()) for m in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    (folder / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    return transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH
    ), len(tokens)


def pipeline(folder, channels=4, prediction="epsilon"):
    """A tiny random Stable Diffusion pipeline; channels 9 = made for inpainting."""
    words, count = tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8,
            in_channels=channels,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=2,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8),
            latent_channels=4,
            norm_num_groups=4,
            sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        )
        text = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=count,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=LENGTH,
                bos_token_id=count - 2,
                eos_token_id=count - 1,
                pad_token_id=count - 1,
            )
        )
        for parameter in text.parameters():  # prompts differ more than at the start of a training
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    scheduler = diffusers.DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        steps_offset=1,
        clip_sample=False,
    )
    kind = (
        diffusers.StableDiffusionPipeline
        if channels == 4
        else diffusers.StableDiffusionInpaintPipeline
    )
    return kind(vae, text, words, unet, scheduler, None, None, requires_safety_checker=False)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return DiffusersPrior.of(pipeline(tmp_path_factory.mktemp("tokens")))


def noisy(count=1, seed=0):
    return torch.randn((count, 4, 8, 8), generator=torch.Generator().manual_seed(seed)), torch.full(
        (count,), 700
    )


def test_it_is_an_image_prior(prior):
    assert (
        lacking(DiffusersPrior, ImagePrior) == []
        and prior.size == 16
        and prior.schedule.steps == 1000
    )
    assert not any(
        p.requires_grad
        for part in (prior.unet, prior.vae, prior.text_encoder)
        for p in part.parameters()
    )


def test_words_stand_in_the_order_of_the_context(prior):
    prompt = "red box on cat"
    words = prior.words(prompt)
    assert words == (
        "<|startoftext|>",
        "red</w>",
        "box</w>",
        "on</w>",
        "c",
        "a",
        "t</w>",
        "<|endoftext|>",
    )
    assert [word for word, spatial in zip(words, spatial_words(words)) if spatial] == ["on</w>"]
    assert len(prior.words(prompt * 5)) == LENGTH and prior.words("red") == (
        "<|startoftext|>",
        "red</w>",
        "<|endoftext|>",
    )
    context = prior.context([prompt, "", "red box"])
    assert context.shape == (3, LENGTH, 16)
    same = (context[0] - context[2]).abs().amax(-1) < 1e-5  # the text model looks back only
    assert same.tolist() == [True] * 3 + [False] * 5


def test_gain_of_one_is_the_plain_network_bit_for_bit(prior):
    (x, step) = noisy(2)
    context = prior.context(["red box", "on red"])
    plain = prior.unet(x, step, encoder_hidden_states=context).sample
    assert torch.equal(prior.noise(x, step, context), plain)
    assert torch.equal(prior.noise(x, step, context, torch.ones(2, LENGTH)), plain)
    gain = torch.ones(2, LENGTH)
    gain[0, 2] = 25.0
    louder = prior.noise(x, step, context, gain)
    assert (louder - plain)[0].abs().max() > 1e-4 and torch.allclose(louder[1], plain[1], atol=1e-6)
    assert torch.equal(prior.noise(x, step, context), plain)  # nothing stays behind


def test_gain_multiplies_the_maps_of_cross_attention_as_computed_by_hand(prior):
    """(A diag(g)) V, word by word, in every attn2; attn1 hears nothing of it."""
    (x, step) = noisy()
    context = prior.context(["red box on cat"])
    gain = torch.ones(1, LENGTH)
    gain[0, 3] = 25.0
    seen = []
    modules = {
        m: name.endswith("attn2")
        for name, m in prior.unet.named_modules()
        if name.endswith(("attn1", "attn2"))
    }
    hooks = [
        m.register_forward_hook(lambda m, args, out: seen.append((m, args[0], out)))
        for m in modules
    ]
    prior.noise(x, step, context, gain)
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(modules) >= 4 and 2 * sum(modules.values()) == len(modules)
    for attention, hidden, out in seen:
        cross = modules[attention]
        pairs = zip(
            (attention.to_q, attention.to_k, attention.to_v),
            (hidden, *[context if cross else hidden] * 2),
        )
        query, key, value = (
            layer(source)[0].unflatten(-1, (attention.heads, -1)).transpose(0, 1)
            for layer, source in pairs
        )
        maps = torch.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, dim=-1)
        maps = maps * gain[:, None] if cross else maps
        by_hand = attention.to_out[0]((maps @ value).transpose(0, 1).flatten(1))
        torch.testing.assert_close(out[0], by_hand, atol=1e-5, rtol=1e-5)


def test_the_schedule_is_the_schedulers():
    scheduler = diffusers.DDPMScheduler(1000, 1e-4, 0.02, "linear")
    ours = TabulatedSchedule.of(scheduler.alphas_cumprod)
    torch.testing.assert_close(ours.signal(), LinearSchedule().signal(), atol=1e-6, rtol=1e-4)
    assert ours.steps == 1000 and ours.ddim_steps(3) == [999, 500, 0]


def test_a_network_that_says_velocity_says_the_same_noise_as_its_scheduler(tmp_path):
    pipe = pipeline(tmp_path, prediction="v_prediction")
    prior = DiffusersPrior.of(pipe)
    (x, step) = noisy()
    context = prior.context(["red"])
    said = pipe.unet(x, step, encoder_hidden_states=context).sample
    sampler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    sampler.set_timesteps(1000)
    data = sampler.step(said, 700, x).pred_original_sample
    signal = prior.schedule.signal()[700].float()
    torch.testing.assert_close(
        prior.noise(x, step, context),
        (x - signal.sqrt() * data) / (1 - signal).sqrt(),
        atol=1e-4,
        rtol=1e-4,
    )


def test_latents_are_the_pipelines(prior):
    pictures = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    latents = prior.encode(pictures)
    expected = prior.vae.encode(2 * pictures - 1).latent_dist.mean * prior.vae.config.scaling_factor
    torch.testing.assert_close(latents, expected)
    made = prior.decode(latents)
    assert made.shape == pictures.shape and made.min() >= 0 and made.max() <= 1


def test_gradients_reach_the_picture_and_no_weights(prior):
    pictures = torch.rand(
        (1, 3, 16, 16), generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    gain = torch.ones(LENGTH)
    gain[3] = 25.0
    sds_loss(
        prior, pictures, "red box on cat", generator=torch.Generator().manual_seed(0), gain=gain
    ).backward()
    assert pictures.grad.abs().max() > 0
    assert all(
        p.grad is None
        for part in (prior.unet, prior.vae, prior.text_encoder)
        for p in part.parameters()
    )


@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting_keeps_what_is_known(tmp_path, channels):
    prior = DiffusersPrior.of(pipeline(tmp_path, channels))
    pictures = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(3))
    masks = torch.zeros(2, 1, 16, 16)
    masks[:, :, 4:11, 3:12] = 1
    made = prior.inpaint(pictures, masks, ["red box", "cat"], [1, 2], steps=3)
    known = (masks == 0).expand_as(pictures)
    assert torch.equal(made[known], pictures[known]) and made.min() >= 0 and made.max() <= 1
    again = prior.inpaint(
        pictures[1:], masks[1:], ["cat"], [2], steps=3
    )  # alone, with its own seed
    torch.testing.assert_close(again, made[1:], atol=1e-4, rtol=1e-4)
    covered = torch.where(
        masks > 0, torch.rand_like(pictures), pictures
    )  # what is under the hole does not count
    torch.testing.assert_close(
        prior.inpaint(covered, masks, ["red box", "cat"], [1, 2], steps=3), made
    )
    for changed in ({"seeds": [1, 5]}, {"prompts": ["red box", "box box"]}):
        arguments = {"prompts": ["red box", "cat"], "seeds": [1, 2]} | changed
        other = prior.inpaint(pictures, masks, **arguments, steps=3)
        assert not torch.equal(other[1], made[1]) and torch.allclose(other[0], made[0], atol=1e-4)


def test_a_sampler_that_is_told_the_noise_of_known_latents_arrives_at_them(prior):
    known, _ = noisy(2, seed=5)
    start, _ = noisy(2, seed=6)
    made = ddim(lambda x, step: prior._noise_of(x, known, step), start, prior.schedule, 10)
    torch.testing.assert_close(made, known, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [4, 9])
def test_a_folder_is_enough(tmp_path, channels, monkeypatch):
    """No network: sockets do not exist."""
    monkeypatch.setattr("socket.socket", None)
    (tmp_path / "tokens").mkdir()
    pipe = pipeline(tmp_path / "tokens", channels)
    pipe.save_pretrained(tmp_path / "saved")
    opened = open_prior(tmp_path / "saved")
    direct = DiffusersPrior.of(pipe)
    context = direct.context(["red box on cat"])
    (x, step) = noisy()
    torch.testing.assert_close(opened.context(["red box on cat"]), context)
    torch.testing.assert_close(opened.noise(x, step, context), direct.noise(x, step, context))
    assert opened.words("red cat") == direct.words("red cat") and opened.size == 16
    np.testing.assert_array_equal(
        opened.schedule.signal().numpy(), direct.schedule.signal().numpy()
    )


def test_it_stands_among_the_embedded_networks(tmp_path):
    """``--prior DIR``: the folder takes the place of the text-to-image weights, which need not be
    there.
    """
    (tmp_path / "tokens").mkdir()
    pipeline(tmp_path / "tokens").save_pretrained(tmp_path / "saved")
    (tmp_path / "weights").mkdir()
    models = load_models(tmp_path / "weights").with_painter(
        open_prior(tmp_path / "saved"), tmp_path / "saved"
    )
    (painter,) = models.models(["text-to-image"], torch.device("cpu"))
    assert isinstance(painter, DiffusersPrior) and models.has("text-to-image")
    assert len(models.provenance(["text-to-image"])["sha256"]["text-to-image"]) == 64
    _, perception = hidden_world()
    # its random weights paint anything, on the object's own window
    done = complete(painter, perception, 1, seed=0)
    shown = perception.photo[perception.label_map == 1]
    np.testing.assert_array_equal(done.image[done.visible], shown)
    assert done.warning == ""


def test_half_precision_files_are_found(tmp_path):
    (tmp_path / "tokens").mkdir()
    pipe = pipeline(tmp_path / "tokens")
    pipe.save_pretrained(tmp_path / "saved", variant="fp16")
    assert not (tmp_path / "saved" / "unet" / "diffusion_pytorch_model.safetensors").exists()
    assert open_prior(tmp_path / "saved").unet.dtype == torch.float32


def test_what_is_no_pipeline_is_named(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"model_index\.json is missing"):
        open_prior(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="lacks unet/"):
        open_prior(tmp_path)
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        (tmp_path / part).mkdir()
    with pytest.raises(CheckpointError, match="cannot be read as a Stable Diffusion pipeline"):
        open_prior(tmp_path)
    (tmp_path / "text_encoder_2").mkdir()
    with pytest.raises(CheckpointError, match="two text encoders"):
        open_prior(tmp_path)
    (tmp_path / "text_encoder_2").rmdir()
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[hub\]'"):
        open_prior(tmp_path)
