"""maquette.scene."""
