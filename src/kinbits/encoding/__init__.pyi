from .codes_file import CodesFile, check_codes_path, is_codes_file, read_codes, write_codes
from .collection import EncodedFile, default_cache, encode_collection, encode_to_file
from .rows import rows_of_ids
from .shards import CodeShards

__all__ = [
    "CodeShards",
    "CodesFile",
    "EncodedFile",
    "check_codes_path",
    "default_cache",
    "encode_collection",
    "encode_to_file",
    "is_codes_file",
    "read_codes",
    "rows_of_ids",
    "write_codes",
]
