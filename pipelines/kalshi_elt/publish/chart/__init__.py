"""Charts of a market or an event: as a page, as a picture, in the terminal."""
