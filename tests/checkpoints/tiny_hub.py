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
    network = DepthProForDepthEstimation(config)
    with torch.no_grad():  # an angle as cameras have, whatever else is drawn
        network.fov_model.head.layers[-1].bias.fill_(50.0)
    return save(folder, network, processor)


def sam2(folder):
    """SAM 2.1 as its release names itself, 64 pixels a side."""
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [64, 64],
        "patch_kernel_size": [7, 7],
        "patch_stride": [4, 4],
        "patch_padding": [3, 3],
        "query_stride": [2, 2],
        "window_positional_embedding_background_size": [4, 4],
        "num_query_pool_stages": 3,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 2, 2],
        "global_attention_blocks": [3],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 16,
    }
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
        "iou_head_depth": 2,
    }
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16}
    config = Sam2Config(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    processor = {"image_processor_type": "Sam2ImageProcessor", "size": {"height": 64, "width": 64}}
    return save(folder, Sam2Model(config), processor)


def tiny_swin(stages):
    """A Swin backbone that gives these stages."""
    from transformers import SwinConfig

    return SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=stages,
    )


def mask2former(folder):
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
    )

    torch.manual_seed(0)
    swin = tiny_swin(["stage1", "stage2", "stage3", "stage4"])
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=8,
        dim_feedforward=8,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=1,
        num_queries=5,
        id2label={0: "cup", 1: "chair"},
    )
    processor = {
        "image_processor_type": "Mask2FormerImageProcessor",
        "size": {"height": 64, "width": 64},
        "num_labels": 2,
    }
    return save(folder, Mask2FormerForUniversalSegmentation(config), processor)


def grounding_dino(folder):
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
    )

    torch.manual_seed(0)
    swin = tiny_swin(["stage2", "stage3", "stage4"])
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "cup", "chair", "a"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    text = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    config = GroundingDinoConfig(
        backbone_config=swin,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=6,
        max_text_len=16,
        num_feature_levels=3,
    )
    processor = {
        "image_processor_type": "GroundingDinoImageProcessor",
        "processor_class": "GroundingDinoProcessor",
        "size": {"height": 64, "width": 64},
    }
    return save(folder, GroundingDinoForObjectDetection(config), processor)
