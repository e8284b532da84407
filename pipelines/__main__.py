"""`python -m pipelines` is the console command `kalshi-elt`."""

from pipelines.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
