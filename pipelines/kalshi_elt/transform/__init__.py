"""Running dbt, and what is read off its project."""
