"""Landing rows in kalshi_raw through dlt."""
