"""Examples of answers for the reference page and the OpenAPI document; a test holds them to what
the server really says.
"""

from __future__ import annotations

PHOTO_ID = "3f0c9e2b7a61d845"
JOB_ID = "a4d81c0f93b2e756"
SCENE_ID = "5b1e77d0c2a94f38"
TIME = "2026-01-31T12:00:00.000Z"
PLACE = [[1.0, 0.0, 0.0, 0.1], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
OPTIONS = {
    "method": "iscene",
    "model": "embedded",
    "seed": 7,
    "samples": 1,
    "steps": None,
    "guidance": None,
    "fit": True,
    "fov": None,
    "device": "auto",
}
EXAMPLE = {
    "name": "table",
    "title": "Table",
    "objects": 4,
    "thumbnail": "/api/examples/table/thumbnail.jpg",
}

PHOTO = {
    "id": PHOTO_ID,
    "name": "room",
    "width": 1536,
    "height": 1024,
    "image": f"/api/photos/{PHOTO_ID}/image.png",
    "thumbnail": f"/api/photos/{PHOTO_ID}/thumbnail.jpg",
    "masks": f"/api/photos/{PHOTO_ID}/masks",
    "objects": 0,
    "version": 1,
    "notes": ["reduced from 6000 x 4000 pixels"],
    "created": TIME,
    "changed": TIME,
}

MASKS = {
    "photo": PHOTO_ID,
    "version": 5,
    "width": 1536,
    "height": 1024,
    "can_undo": True,
    "can_redo": False,
    "undo": "box",
    "redo": None,
    "labels": f"/api/photos/{PHOTO_ID}/masks/labels.png?version=5",
    "objects": [
        {
            "label": 1,
            "name": "chair",
            "color": "#4c8dd6",
            "pixels": 20311,
            "share": 0.013,
            "box": [40, 60, 201, 310],
            "borders": ["left"],
            "fragments": 1,
            "specks": 0,
            "holes": 0,
            "thickness": 81.0,
            "overlaps": [{"label": 2, "share": 0.12}],
            "mask": f"/api/photos/{PHOTO_ID}/masks/1.png?version=5",
            "warnings": [
                "label 1 (chair) is cut off at the left of the photo; what lies outside is guessed"
            ],
        }
    ],
    "changed": [1],
    "notes": [],
}

SUBMISSION = {
    "photo": PHOTO_ID,
    "only": [1, 3],
    "name": "room, seed 7",
    "options": {"method": "iscene", "seed": 7},
}

JOB = {
    "id": JOB_ID,
    "kind": "generate",
    "state": "running",
    "name": "room, seed 7",
    "photo": PHOTO_ID,
    "thumbnail": f"/api/jobs/{JOB_ID}/thumbnail.jpg",
    "scene": None,
    "label": None,
    "options": OPTIONS,
    "objects": [{"label": 1, "name": "chair"}, {"label": 3, "name": ""}],
    "progress": {
        "stage": "objects",
        "share": 0.5,
        "overall": 0.66,
        "instance": {"label": 3, "index": 2, "of": 2},
        "attempt": 1,
    },
    "position": None,
    "instances": [
        {
            "label": 1,
            "name": "chair",
            "attempt": 1,
            "glb": f"/api/jobs/{JOB_ID}/instances/1.glb?attempt=1",
            "world_from_instance": PLACE,
        }
    ],
    "failures": [],
    "warnings": [],
    "error": None,
    "seconds": {},
    "created": TIME,
    "started": TIME,
    "finished": None,
}

BRIEF_SCENE = {
    "id": SCENE_ID,
    "name": "room, seed 7",
    "version": 3,
    "job": JOB_ID,
    "photo": PHOTO_ID,
    "method": "iscene",
    "seed": 7,
    "objects": 1,
    "can_undo": True,
    "can_redo": False,
    "undo": "transform",
    "redo": None,
    "preview": f"/api/scenes/{SCENE_ID}/preview.png?version=3",
    "thumbnail": f"/api/scenes/{SCENE_ID}/thumbnail.jpg?version=3",
    "image": f"/api/scenes/{SCENE_ID}/photo.png",
    "masks": f"/api/scenes/{SCENE_ID}/masks.png",
    "created": TIME,
    "changed_at": TIME,
}

SCENE = {
    **BRIEF_SCENE,
    "changed": [1],
    "camera": {
        "width": 1536,
        "height": 1024,
        "intrinsics": [[1400.0, 0.0, 768.0], [0.0, 1400.0, 512.0], [0.0, 0.0, 1.0]],
        "world_from_camera": [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 0.2],
            [0.0, 0.0, -1.0, 1.8],
            [0.0, 0.0, 0.0, 1.0],
        ],
    },
    "ground_height": -0.31,
    "metres_per_unit": None,
    "instances": [
        {
            "label": 1,
            "node": "instance_1",
            "name": "chair",
            "color": "#4c8dd6",
            "hidden": False,
            "seed": 123,
            "confidence": 0.91,
            "warnings": [],
            "world_from_instance": PLACE,
            "box": [[-0.1, -0.3, -0.1], [0.1, 0.1, 0.1]],
            "glb": f"/api/scenes/{SCENE_ID}/meshes/6f1ab2c3d4e5f607.glb",
            "can_regenerate": True,
        }
    ],
    "failures": [
        {"label": 4, "stage": "decode", "reason": "its volume holds no surface; try another seed"}
    ],
    "warnings": [],
    "provenance": {"method": "iscene", "seconds": {"sample": 4.2}},
}

COMPARISON = {
    "same_photo": True,
    "a": {
        "id": SCENE_ID,
        "name": "room, iscene",
        "method": "iscene",
        "seconds": 8.1,
        "confidence": 0.83,
    },
    "b": {
        "id": "0d9a1e2f3b4c5d6e",
        "name": "room, midi",
        "method": "midi",
        "seconds": 11.4,
        "confidence": 0.8,
    },
    "objects": [
        {
            "label": 1,
            "name": "chair",
            "a": {"confidence": 0.91, "faces": 8120},
            "b": {"confidence": 0.88, "faces": 7904},
        }
    ],
}

CONFIG = {
    "version": "0.2.0",
    "methods": [
        {
            "name": "iscene",
            "title": "I-Scene",
            "about": "One sentence.",
            "default": True,
            "steps": 3,
            "guidance": 1.0,
        }
    ],
    "models": [
        {"name": "embedded", "title": "Embedded weights", "methods": ["iscene"], "default": True}
    ],
    "devices": ["cpu"],
    "options": {
        "seed": {"default": 0, "minimum": 0, "maximum": 4294967295},
        "samples": {"default": 1, "minimum": 1, "maximum": 8},
        "steps": {"default": 3, "minimum": 1, "maximum": 100},
        "guidance": {"default": 1.0, "minimum": 0, "maximum": 20},
        "fov": {"default": None, "minimum": 3, "maximum": 140},
        "fit": {"default": True},
    },
    "limits": {
        "upload_bytes": 67108864,
        "pixels": 50000000,
        "objects": 64,
        "queue": 16,
        "workers": 1,
        "name_length": 80,
    },
    "mask_forms": [{"form": "label", "title": "Label picture (PNG)", "suffix": ".png"}],
    "scene_formats": [{"format": "glb", "title": "GLB", "suffix": ".glb"}],
    "token": False,
}

HEALTH = {
    "status": "ok",
    "version": "0.2.0",
    "queued": 0,
    "running": 0,
    "workers": [{"state": "ready"}],
}
