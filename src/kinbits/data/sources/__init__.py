"""Sources of data: folders, lists, tables and arrays."""
