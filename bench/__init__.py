"""Benchmarks of the pipeline on this machine: `python -m bench NAME [options]`.

Each prints what it measured, what that is compared with (the floor), their ratio, and the target.
Both are measured side by side, in the same call.
"""
