"""Writing a chart's files."""

from pathlib import Path

from pipelines.chart.data import Chart
from pipelines.chart.page import page_html
from pipelines.chart.picture import picture
from pipelines.errors import KalshiEltError
from pipelines.paths import file_name


def write_chart(chart: Chart, to: str | None, *, has_picture: bool) -> list[Path]:
    """Write the chart as HTML and, if asked, as PNG beside it; returns the paths.

    Raises KalshiEltError when a file can't be written.
    """
    page = Path(to or f"{file_name(chart.ticker)}.html")
    contents = {page: page_html(chart).encode()}
    if has_picture:
        contents[page.with_name(f"{page.stem}.png")] = picture(chart)
    for path, content in contents.items():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise KalshiEltError(
                f"chart: {path} can't be written ({error.strerror}); give another --to"
            ) from error
    return list(contents)
