"""Seeds of objects: whoever else is in the picture never matters."""

from maquette.stages.seeds import instance_seed


def test_the_seed_of_an_instance_depends_on_the_scene_seed_and_its_label_only():
    seeds = {(seed, label): instance_seed(seed, label) for seed in range(20) for label in range(50)}
    assert len(set(seeds.values())) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds.values())
    assert seeds == {key: instance_seed(*key) for key in reversed(seeds)}
