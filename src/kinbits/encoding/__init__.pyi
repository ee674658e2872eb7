from .codes_file import CodesFile, check_codes_path, is_codes_file, read_codes, write_codes
from .collection import EncodedFile, default_cache, encode_collection, encode_to_file
from .rows import FORMAT, KEY, code_rows, rows_of_ids
from .shards import CodeShards

__all__ = [
    "FORMAT",
    "KEY",
    "CodeShards",
    "CodesFile",
    "EncodedFile",
    "check_codes_path",
    "code_rows",
    "default_cache",
    "encode_collection",
    "encode_to_file",
    "is_codes_file",
    "read_codes",
    "rows_of_ids",
    "write_codes",
]
