"""Getting data out: files, charts, a site."""
