"""Filters, exact search over segments, and pairs of near items."""
