"""A prediction's file beside its truth's: meshes by names that mean the same object in both.

In the flow: two files -> what ``score_scene`` takes. Labels, the masks' numbers, come first, for
names are whatever somebody has called an object; where a file tells none, node names decide.
"""

from __future__ import annotations

from collections.abc import Mapping

from maquette.evaluate.cases import label_of, node_name
from maquette.evaluate.surfaces import Meshes
from maquette.export.read import load_named_meshes, node_labels
from maquette.types import StrPath


def by_label(meshes: Meshes, labels: Mapping[str, int]) -> Meshes:
    """Meshes called ``instance_<label>``, by the labels told or by such names; as they are when
    one has no label, or two have the same.
    """
    told = {name: labels.get(name) or label_of(name) for name in meshes}
    known = {label: meshes[name] for name, label in told.items() if label is not None}
    if len(known) < len(meshes):
        return dict(meshes)
    return {node_name(label): mesh for label, mesh in known.items()}


def load_pair(predicted: StrPath, truth: StrPath) -> tuple[Meshes, Meshes]:
    """Both scenes in world coordinates, by label when both files tell labels and by node name
    otherwise. An object of several parts below a named node is one mesh where the other file has
    one. Raises InputError.
    """
    made = load_named_meshes(predicted)
    true = load_named_meshes(truth, whole=made)
    if true.keys() - made:
        made = load_named_meshes(predicted, whole=true)
    labelled = by_label(made, node_labels(predicted)), by_label(true, node_labels(truth))
    have_labels = all(label_of(name) is not None for meshes in labelled for name in meshes)
    return labelled if have_labels else (made, true)
