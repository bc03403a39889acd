"""Move, rename, replace, make anew and delete objects of a saved scene. Every edit returns a new
scene; the old one stays as it was.

Uses `scene.json` of example 02.
"""

import trimesh

import maquette

scene = maquette.load("scene.json")
labels = [instance.label for instance in scene.instances]
first = labels[0]
last = labels[-1]

edited = scene.move(first, (0.0, 0.1, 0.0)).rename(
    first, "floating"
)  # 0.1 of the scene's longest side, upwards
edited = edited.regenerate(
    first, seed=7
)  # another try for this object, at its place; all others stay bit-identical
edited = edited.replace(last, trimesh.creation.icosphere(radius=0.1)) if last != first else edited
assert scene[first].node_name != "floating"  # the scene that was loaded has not changed

edited.export("edited.json")
edited.export("edited.glb")
again = maquette.load("edited.json")
assert (
    again[first].mesh.vertices == edited[first].mesh.vertices
).all()  # saving and loading loses nothing
print("edited.glb:", ", ".join(instance.node_name for instance in again.instances))
