import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from maquette.checkpoints.layouts import (
    dinov2_hub_names,
    find_weights,
    read_config,
    read_shapes,
    read_tensors,
    rescue_pickle,
)
from maquette.errors import CheckpointError

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.ones(4, dtype=torch.float16),
    "c": torch.full((2,), 3, dtype=torch.bfloat16),
}


def equal(left, right):
    return set(left) == set(right) and all(
        torch.equal(left[k], right[k]) and left[k].dtype == right[k].dtype for k in left
    )


def sharded(folder, stem="diffusion_pytorch_model"):
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{stem}-{i:05d}-of-00002.safetensors" for i in (1, 2)]
    parts = [{"a": TENSORS["a"]}, {key: TENSORS[key] for key in "bc"}]
    for name, part in zip(names, parts):
        save_file(part, folder / name)
    index = {
        "metadata": {},
        "weight_map": {key: name for name, part in zip(names, parts) for key in part},
    }
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
    ],
)
def test_one_file_comes_back_in_its_own_precision(tmp_path, name):
    save_file(TENSORS, tmp_path / name)
    assert equal(read_tensors(*find_weights(tmp_path)), TENSORS)
    assert read_shapes(*find_weights(tmp_path)) == {"a": (2, 3), "b": (4,), "c": (2,)}


@pytest.mark.parametrize("stem", ["diffusion_pytorch_model", "model"])
def test_shards_are_the_same_as_one_file(tmp_path, stem):
    assert equal(read_tensors(*find_weights(sharded(tmp_path, stem))), TENSORS)


def test_a_missing_shard_is_named(tmp_path):
    (sharded(tmp_path) / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks 1 of 2 shards.*00002-of-00002"):
        find_weights(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    files = find_weights(sharded(tmp_path))
    with pytest.raises(CheckpointError, match="repeats the tensor 'a'"):
        read_tensors(*files, files[0])


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-3])
    for read in (read_tensors, read_shapes):
        with pytest.raises(
            CheckpointError, match=r"model\.safetensors is not a complete safetensors file"
        ):
            read(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps({"a": 1}), "is a pickle: reading one can run any program"),
        (b"PK\x03\x04 zip", "maquette models convert"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"<!doctype html>", "web page"),
        (b"", "empty"),
    ],
)
def test_what_is_no_safetensors_file_is_refused_with_the_reason(tmp_path, content, says):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for read in (read_tensors, read_shapes):
        with pytest.raises(CheckpointError, match=says):
            read(path)


@pytest.mark.parametrize("first", [b"<", b"P", b"v", b"\x80"])
def test_a_header_may_have_any_length(tmp_path, first):
    """The first byte of a safetensors file is the length of its header modulo 256: one file in
    thirty-two begins as a pickle does.
    """
    path = tmp_path / "model.safetensors"
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    length = next(n for n in range(len(header), 512) if n % 256 == first[0])
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + bytes(4))
    assert read_shapes(path) == {"a": (1,)}
    assert read_tensors(path)["a"].tolist() == [0.0]


def test_a_folder_with_only_a_pickle_says_so(tmp_path):
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is a pickle"):
        find_weights(tmp_path)


def test_an_empty_or_absent_folder_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="no folder"):
        find_weights(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="only nothing"):
        find_weights(tmp_path)


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: {"state_dict": d, "step": 3}, lambda d: {"model": d}]
)
def test_tensors_are_rescued_from_a_pickle(tmp_path, wrap):
    torch.save(wrap(TENSORS), tmp_path / "weights.pt")
    assert rescue_pickle(tmp_path / "weights.pt", tmp_path / "weights.safetensors") == 3
    assert equal(read_tensors(tmp_path / "weights.safetensors"), TENSORS)


class Dangerous:
    def __reduce__(self):
        return (open, ("/tmp/maquette-pickle-ran", "w"))


@pytest.mark.parametrize("content", [{"a": Dangerous()}, {"a": "text"}, [1, 2]])
def test_a_pickle_with_more_than_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="ask its maker for safetensors"):
        rescue_pickle(tmp_path / "weights.pt", tmp_path / "weights.safetensors")
    assert not (tmp_path / "weights.safetensors").exists()


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"a": ')
    with pytest.raises(CheckpointError, match=r"config\.json: not JSON"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="expected a JSON object"):
        read_config(tmp_path / "config.json")


def hub_dino(depth=2, width=4):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    top = {
        "cls_token": draw(1, 1, width),
        "mask_token": draw(1, width),
        "register_tokens": draw(1, 4, width),
        "pos_embed": draw(1, 10, width),
        "patch_embed.proj.weight": draw(width, 3, 2, 2),
        "patch_embed.proj.bias": draw(width),
        "norm.weight": draw(width),
        "norm.bias": draw(width),
    }
    for i in range(depth):
        for name, rows in (
            ("norm1", 0),
            ("attn.qkv", 3),
            ("attn.proj", 1),
            ("norm2", 0),
            ("mlp.fc1", 4),
        ):
            shape = (width,) if rows == 0 else (rows * width, width)
            top |= {
                f"blocks.{i}.{name}.weight": draw(*shape),
                f"blocks.{i}.{name}.bias": draw(shape[0]),
            }
        top |= {
            f"blocks.{i}.mlp.fc2.weight": draw(width, 4 * width),
            f"blocks.{i}.mlp.fc2.bias": draw(width),
        }
        top |= {f"blocks.{i}.ls1.gamma": draw(width), f"blocks.{i}.ls2.gamma": draw(width)}
    return top


# Written out by hand from the two libraries' listings, not derived from the code under test.
HF4 = {
    "q": "attention.attention.query",
    "k": "attention.attention.key",
    "v": "attention.attention.value",
    "o": "attention.output.dense",
}
HF5 = {
    "q": "attention.q_proj",
    "k": "attention.k_proj",
    "v": "attention.v_proj",
    "o": "attention.o_proj",
}


def transformers_names(hub, inner, prefix=""):
    named = {
        "embeddings.cls_token": hub["cls_token"],
        "embeddings.mask_token": hub["mask_token"],
        "embeddings.register_tokens": hub["register_tokens"],
        "embeddings.position_embeddings": hub["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": hub["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": hub["patch_embed.proj.bias"],
        "layernorm.weight": hub["norm.weight"],
        "layernorm.bias": hub["norm.bias"],
    }
    for i in range(2):
        old = f"blocks.{i}."
        new = f"encoder.layer.{i}."
        for leaf in ("weight", "bias"):
            for letter, part in zip("qkv", hub[f"{old}attn.qkv.{leaf}"].chunk(3)):
                named[f"{new}{inner[letter]}.{leaf}"] = part
            named[f"{new}{inner['o']}.{leaf}"] = hub[f"{old}attn.proj.{leaf}"]
            for layer in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                named[f"{new}{layer}.{leaf}"] = hub[f"{old}{layer}.{leaf}"]
        for k in (1, 2):
            named[f"{new}layer_scale{k}.lambda1"] = hub[f"{old}ls{k}.gamma"]
    return {prefix + name: tensor for name, tensor in named.items()}


@pytest.mark.parametrize("inner", [HF4, HF5], ids=["transformers 4", "transformers 5"])
@pytest.mark.parametrize("prefix", ["", "dinov2."])
def test_three_schemes_of_dinov2_are_one(inner, prefix):
    hub = hub_dino()
    assert equal(dinov2_hub_names(transformers_names(hub, inner, prefix)), hub)
    assert equal(dinov2_hub_names(hub), hub)
    assert equal(
        dinov2_hub_names({f"base_img_conditioner.{name}": tensor for name, tensor in hub.items()}),
        hub,
    )


def test_half_of_an_attention_is_named():
    broken = transformers_names(hub_dino(), HF4)
    del broken["encoder.layer.1.attention.attention.key.bias"]
    with pytest.raises(CheckpointError, match=r"blocks\.1\.attn\.qkv\.bias"):
        dinov2_hub_names(broken)
