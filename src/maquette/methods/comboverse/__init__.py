"""ComboVerse: the method, and what only it needs."""
