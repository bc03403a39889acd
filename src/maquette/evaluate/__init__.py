"""How good is a predicted scene? Metrics, named protocols, and scores in which every object counts.
Reads meshes, writes numbers.
"""

from maquette.evaluate.pairs import load_pair
from maquette.evaluate.physics import scene_physics
from maquette.evaluate.protocols import PROTOCOLS, Protocol, protocol_named
from maquette.evaluate.score import ObjectScore, SceneScore, score_scene
from maquette.evaluate.summary import summarise
from maquette.options.benchmark import EXTRAS

__all__ = [
    "EXTRAS",
    "PROTOCOLS",
    "ObjectScore",
    "Protocol",
    "SceneScore",
    "load_pair",
    "protocol_named",
    "scene_physics",
    "score_scene",
    "summarise",
]
