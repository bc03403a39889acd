"""maquette.images."""
