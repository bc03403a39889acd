"""maquette.render."""
