"""`python -m kalshi_elt` is the console command `kalshi-elt`."""

from kalshi_elt.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
