"""maquette.flow."""
