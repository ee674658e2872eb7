"""Reports: a table for the terminal, JSON for programs, a page for people."""
