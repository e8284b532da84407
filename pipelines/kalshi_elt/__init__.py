"""Kalshi prediction-market data: plan, fetch and land it, then hand it to dbt."""
