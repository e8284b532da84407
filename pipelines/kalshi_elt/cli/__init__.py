"""The command line, kalshi-elt."""
