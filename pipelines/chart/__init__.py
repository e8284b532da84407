"""Charts of a market or an event: data.py reads, spec.py describes, page.py, picture.py and
terminal.py show."""
