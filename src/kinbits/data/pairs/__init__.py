"""Pairs of items: from labels, from tables, and from 3D reconstructions."""
