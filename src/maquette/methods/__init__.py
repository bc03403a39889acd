"""The methods of the literature, one short file each: from a Perception to volumes in cubes.
Nothing is copied between them.
"""
