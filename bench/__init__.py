"""Benchmarks of the pipeline on this machine: `python -m bench NAME [options]`.

Each prints its figure, its floor, their ratio and the target, all measured in one run.
"""
