"""The typed tables as files."""
