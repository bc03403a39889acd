"""maquette.train."""
