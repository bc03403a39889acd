"""Pure maths on arrays: transforms, cameras, boxes, volumes, iso-surfaces, registration. No models,
no files.
"""
