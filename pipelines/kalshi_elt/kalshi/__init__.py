"""All that knows the API of Kalshi: client, endpoints, records, selection, listing, plan."""
