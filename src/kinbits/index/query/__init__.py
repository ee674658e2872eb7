"""Search over segments, re-ranking, and pairs of similar items."""
