"""maquette.export."""
