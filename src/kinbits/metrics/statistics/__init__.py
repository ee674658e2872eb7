"""Statistics of codes: what their bits do, and how far apart classes lie."""
