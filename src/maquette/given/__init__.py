"""Depth and cameras that users bring: files of many tools -> GivenGeometry of one photo."""
