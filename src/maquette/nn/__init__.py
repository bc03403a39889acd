"""maquette.nn."""
