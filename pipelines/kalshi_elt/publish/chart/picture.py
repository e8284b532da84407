"""A chart as a PNG, drawn without a browser."""

from kalshi_elt.publish.chart.data import Chart
from kalshi_elt.publish.chart.spec import DARK, LIGHT, VEGA_LITE, picture_spec


def picture(chart: Chart, *, dark: bool = False, scale: float = 2) -> bytes:
    """The chart as PNG of about 1000 by 540 points, each `scale` pixels wide."""
    # it takes 40 MB: only here
    import vl_convert

    return bytes(
        vl_convert.vegalite_to_png(
            picture_spec(chart, DARK if dark else LIGHT),
            vl_version=VEGA_LITE,
            scale=scale,
            # nothing is ever loaded
            allowed_base_urls=[],
        )
    )
