"""How the published models frame a picture before they look at it."""
