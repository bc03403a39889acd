"""Scene -> what physics needs: masses, shapes that collide, files for simulators, and objects at
rest.

After export in the flow. ``bodies`` makes rigid bodies of a scene; ``mjcf``, ``urdf``, ``sdf`` and
``usd`` write them; ``files`` writes any format; ``settle`` lets the objects come to rest.
"""
