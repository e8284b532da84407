"""What only some commands need is installed with an extra of the package."""

EXTRAS = {"pyarrow": "parquet", "vl_convert": "charts", "plotext": "charts"}
"""Modules that come with an extra, by their names in an import."""


def missing_extra(error: BaseException) -> str | None:
    """What to install, where the error is that an extra's module is not there; None otherwise."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    return extra and (
        f"this needs the extra `{extra}`, which is not installed: run `make setup EXTRAS={extra}` "
        f"in the checkout, or pip install '.[{extra}]'"
    )
