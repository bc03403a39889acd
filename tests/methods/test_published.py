import numpy as np
import trimesh

from maquette.geometry.transforms import transform_points
from maquette.methods.base import UprightMesh
from maquette.methods.published import in_scene
from tests.stages.test_viewpoint import camera, perception, scene


def put_together(together, coloured):
    meshes, masks = scene()
    if not together:
        meshes = {
            label: mesh.copy().apply_translation(-mesh.bounds.mean(0))
            for label, mesh in meshes.items()
        }
    image = np.zeros((120, 160, 3), np.uint8)
    for mask, colour in zip(masks, ((200, 30, 30), (30, 200, 30), (30, 30, 200))):
        image[mask.mask] = colour
    seen = perception(camera(), masks, 2.0, image)
    made = [UprightMesh(label, 7, mesh, together, coloured) for label, mesh in meshes.items()]
    return in_scene(made, seen)


def test_objects_made_together_keep_their_places():
    meshes, _ = scene()
    instances, _ = put_together(together=True, coloured=True)
    for instance in instances:
        there = transform_points(instance.world_from_instance, np.asarray(instance.mesh.vertices))
        assert np.abs(there - meshes[instance.label].vertices).max() < 1e-5 and instance.seed == 7


def test_objects_made_alone_fill_the_scene_frame():
    instances, _ = put_together(together=False, coloured=True)
    low = np.min([i.box[0] for i in instances], axis=0)
    high = np.max([i.box[1] for i in instances], axis=0)
    assert np.allclose(low + high, 0, atol=1e-5) and np.isclose((high - low).max(), 1)


def test_what_has_no_colour_gets_that_of_its_own_pixels():
    instances, _ = put_together(together=True, coloured=False)
    for instance, channel in zip(instances, range(3)):
        assert instance.mesh.visual.vertex_colors[:, :3].mean(0).argmax() == channel


def test_painting_leaves_the_shape_alone():
    plain, _ = put_together(together=True, coloured=True)
    painted, _ = put_together(together=True, coloured=False)
    for a, b in zip(plain, painted):
        assert isinstance(b.mesh, trimesh.Trimesh) and np.array_equal(
            a.mesh.vertices, b.mesh.vertices
        )
        assert np.array_equal(a.mesh.faces, b.mesh.faces)
