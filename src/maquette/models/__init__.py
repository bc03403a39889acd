"""maquette.models."""
