"""What the schema kalshi_ops remembers: versions, the lock, objects seen, coverage and its gaps."""
