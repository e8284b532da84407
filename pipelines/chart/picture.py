"""Charts as PNG, drawn without a browser."""

import json

from pipelines.chart.data import Chart
from pipelines.chart.spec import DARK, LIGHT, rows_of, specification


def picture(chart: Chart, *, dark: bool = False, scale: float = 2) -> bytes:
    """The chart as a PNG with title and legend; `scale` 2 is for screens of many pixels."""
    # takes 0.2 s to import
    import vl_convert

    spec = specification(chart, DARK if dark else LIGHT, is_picture=True)
    spec["data"] = {"name": "rows", "values": rows_of(chart)}
    return bytes(vl_convert.vegalite_to_png(json.dumps(spec), scale=scale))
