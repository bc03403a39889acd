"""maquette.data."""
