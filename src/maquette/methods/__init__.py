"""maquette.methods."""
