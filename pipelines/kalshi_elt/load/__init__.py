"""One load, from its settings to its summary."""
