"""maquette.evaluate."""
