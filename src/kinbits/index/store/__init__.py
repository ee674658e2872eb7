"""The files of an index: segments, metadata, manifest, and how they change."""
