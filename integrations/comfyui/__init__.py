"""maquette in ComfyUI: photo and masks -> a scene, a scene -> a file such as .glb.

Put (or link) this folder into ComfyUI/custom_nodes and install maquette into ComfyUI's Python. The
contract is ComfyUI's documented one: classes with INPUT_TYPES, RETURN_TYPES, FUNCTION and CATEGORY,
and the mapping NODE_CLASS_MAPPINGS. An IMAGE is a tensor (B, H, W, 3), a MASK one (B, H, W), both
from 0 to 1; each mask of a batch is one object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SCENE = "MAQUETTE_SCENE"
METHODS = ["iscene", "midi", "coherent", "comboverse", "independent"]
FORMATS = ["glb", "obj", "ply", "stl", "html", "json"]


class MaquetteScene:
    """One photo and the masks of its objects -> an editable 3D scene."""

    CATEGORY = "maquette"
    FUNCTION = "make"
    RETURN_TYPES = (SCENE, "STRING")
    RETURN_NAMES = ("scene", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """What the node takes."""
        return {
            "required": {
                "image": ("IMAGE",),
                "masks": ("MASK",),
                "method": (METHODS, {"default": METHODS[0]}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**32 - 1}),
                "samples": ("INT", {"default": 1, "min": 1, "max": 8}),
            },
            "optional": {
                "names": ("STRING", {"default": "", "multiline": True}),
                "weights": ("STRING", {"default": ""}),
            },
        }

    def make(
        self,
        image: Any,
        masks: Any,
        method: str = METHODS[0],
        seed: int = 0,
        samples: int = 1,
        names: str = "",
        weights: str = "",
    ) -> tuple[Any, str]:
        """The scene, and what became of each object. ``names``: one a line, in the order of the
        masks.
        """
        import maquette

        photo = _bytes(image[0])
        called = [line.strip() for line in names.splitlines()]
        found = []
        for label, mask in enumerate(masks, 1):
            name = called[label - 1] if label <= len(called) else ""
            pixels = _bytes(mask) > 127
            if pixels.any():  # ComfyUI fills batches with empty masks
                found.append(maquette.InstanceMask(label, pixels, name))
        options = {"method": method, "seed": seed, "samples": samples}
        scene = maquette.generate(photo, found, weights=weights or None, **options)
        lines = [repr(scene), *map(repr, scene.instances)]
        lines += [f"{one.label}: {one.reason}" for one in scene.failures]
        return scene, "\n".join(lines)


class MaquetteSave:
    """A scene -> a file in ComfyUI's output folder, and its path, which the nodes that show or load
    3D models take.
    """

    CATEGORY = "maquette"
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """What the node takes."""
        return {
            "required": {
                "scene": (SCENE,),
                "filename_prefix": ("STRING", {"default": "maquette/scene"}),
                "format": (FORMATS, {"default": FORMATS[0]}),
            }
        }

    def save(self, scene: Any, filename_prefix: str, format: str = "glb") -> dict[str, Any]:
        """Write it under the first free number."""
        folder = _output_folder()
        stem = folder / filename_prefix
        if not stem.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{filename_prefix}: leads out of ComfyUI's output folder")
        number = 1
        while (path := Path(f"{stem}_{number:05d}.{format}")).exists():
            number += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        scene.export(path)
        shown = {"filename": path.name, "type": "output"}
        shown["subfolder"] = path.parent.relative_to(folder).as_posix()
        return {"ui": {"3d": [shown]}, "result": (str(path),)}


def _bytes(tensor: Any) -> Any:
    """A picture of ComfyUI, 0 to 1, as uint8."""
    return (tensor.detach().cpu().clamp(0, 1) * 255).round().byte().numpy()


def _output_folder() -> Path:
    """Where ComfyUI puts results; here where there is no ComfyUI."""
    try:
        import folder_paths
    except ImportError:
        return Path.cwd()
    return Path(folder_paths.get_output_directory())


NODE_CLASS_MAPPINGS = {"MaquetteScene": MaquetteScene, "MaquetteSave": MaquetteSave}
NODE_DISPLAY_NAME_MAPPINGS = {
    "MaquetteScene": "maquette: photo and masks to 3D scene",
    "MaquetteSave": "maquette: save 3D scene",
}
