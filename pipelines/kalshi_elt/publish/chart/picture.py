"""A chart as a PNG, drawn without a browser."""

from kalshi_elt.publish.chart.data import Chart
from kalshi_elt.publish.chart.spec import DARK, LIGHT, VEGA_LITE, picture_spec


def picture(chart: Chart, *, dark: bool = False, scale: float = 2) -> bytes:
    """The chart as a PNG of about 1000 by 540 points, each `scale` pixels wide and high."""
    # importing it takes 40 MB of memory, so it is done only when a picture is drawn
    import vl_convert

    return bytes(
        vl_convert.vegalite_to_png(
            picture_spec(chart, DARK if dark else LIGHT),
            vl_version=VEGA_LITE,
            scale=scale,
            # it may load data from no address
            allowed_base_urls=[],
        )
    )
