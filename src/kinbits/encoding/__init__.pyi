from .codes_file import CodesFile, is_codes_file, join_codes, read_codes
from .collection import (
    BATCH,
    EncodedFile,
    default_cache,
    encode_collection,
    encode_part,
    encode_to_file,
    open_collection,
)
from .concepts import encode_with_concepts
from .folders import JOB, MANIFEST, metadata_types, shard_name, shards_of_folder, stated_facts
from .rows import rows_of_ids
from .shards import CodeShards
from .stamps import file_stamps, settled_time
from .writing import check_codes_path, write_codes

__all__ = [
    "BATCH",
    "JOB",
    "MANIFEST",
    "CodeShards",
    "CodesFile",
    "EncodedFile",
    "check_codes_path",
    "default_cache",
    "encode_collection",
    "encode_part",
    "encode_to_file",
    "encode_with_concepts",
    "file_stamps",
    "is_codes_file",
    "join_codes",
    "metadata_types",
    "open_collection",
    "read_codes",
    "rows_of_ids",
    "settled_time",
    "shard_name",
    "shards_of_folder",
    "stated_facts",
    "write_codes",
]
