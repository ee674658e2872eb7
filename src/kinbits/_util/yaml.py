"""Settings in YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kinbits._util.files import read_regular
from kinbits._util.text import one_line
from kinbits.errors import UsageError


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """Read a mapping from a YAML file; nothing in it can run code.

    Args:
        path: The file.
        example: What to write in it, for the error of a file without keys.

    Raises:
        UsageError: If the file is missing, no YAML, or no mapping, or a key is given twice; ``batch-size`` and
            ``batch_size`` are one key.
    """
    try:
        value = yaml.load(read_regular(path).decode("utf-8"), _Loader)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; give the path of a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no valid YAML ({one_line(error)})") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no `name: value` lines; write e.g. {example}")
    return {str(name): setting for name, setting in value.items()}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would take the last of several equal keys, made strict."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse keys that are given twice."""
        seen = set()
        for key, _ in node.value:
            name = str(key.value).replace("-", "_")
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice; keep one", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
