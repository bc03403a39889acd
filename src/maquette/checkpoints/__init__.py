"""maquette.checkpoints."""
