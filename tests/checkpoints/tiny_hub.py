"""Folders as the hub has them, of networks with a handful of random weights."""

import json

import torch


def dinov2(**changes):
    from transformers import Dinov2Config

    usual = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1, "mlp_ratio": 2}
    return Dinov2Config(**usual | changes)


def save(folder, network, processor):
    """As ``save_pretrained`` leaves it."""
    network.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def depth_anything(folder, kind="relative"):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    torch.manual_seed(0)
    backbone = dinov2(
        image_size=28,
        patch_size=14,
        num_hidden_layers=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=8,
        neck_hidden_sizes=[4, 4, 4, 4],
        fusion_hidden_size=4,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20,
    )
    processor = {
        "image_processor_type": "DPTImageProcessor",
        "do_resize": True,
        "size": {"height": 28, "width": 28},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
    }
    return save(folder, DepthAnythingForDepthEstimation(config), processor)


def depth_pro(folder, side=128):
    from transformers import DepthProConfig, DepthProForDepthEstimation

    torch.manual_seed(0)
    patch = side // 4
    vision = {
        "model_type": "dinov2",
        "image_size": patch,
        "patch_size": 8,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "mlp_ratio": 2,
    }
    config = DepthProConfig(
        patch_size=patch,
        fusion_hidden_size=8,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_feature_dims=[8, 8, 8],
        merge_padding_value=1,
        use_fov_model=True,
        image_model_config=dict(vision),
        patch_model_config=dict(vision),
        fov_model_config=dict(vision),
    )
    processor = {
        "image_processor_type": "DepthProImageProcessor",
        "size": {"height": side, "width": side},
    }
    return save(folder, DepthProForDepthEstimation(config), processor)
