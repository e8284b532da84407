"""Load, then transform: one run, its record, its schedule, who hears of it."""
