from .arrays import cumcount
from .attributes import lazy
from .deprecated import old_arguments, warn_old_name, with_old_names
from .files import (
    CONFIG,
    check_parent,
    file_aside,
    file_digest,
    folder_aside,
    full_path,
    locked_folder,
    open_arrow,
    open_regular,
    read_regular,
    settle,
    sync_file,
    sync_folder,
    unlock,
    write_text,
)
from .json import parse_json
from .lock import locked_output
from .machine import memory_bytes, processors, started_by_torchrun
from .modality import Modality
from .modules import import_all
from .moves import rename_new
from .numbers import check_at_least, check_seed, parse_float, parse_int
from .options import (
    Option,
    Range,
    Repeated,
    attributes_of,
    check_options,
    options_of,
    read_options,
    underscored,
    with_options,
)
from .own_code import own_line
from .packages import EXTRAS, import_pandas, named_extras, open_door, require
from .plots import save_figure
from .progress import Bar, reporter
from .registry import Parameterised, Registry
from .sources import call_values, class_expressions, registered_classes, value_of
from .templates import render
from .text import UNSAFE, one_line, printable, printed, shortened
from .typed import checked, checked_parameters, typed
from .yaml import read_yaml

__all__ = [
    "CONFIG",
    "EXTRAS",
    "UNSAFE",
    "Bar",
    "Modality",
    "Option",
    "Parameterised",
    "Range",
    "Registry",
    "Repeated",
    "attributes_of",
    "call_values",
    "check_at_least",
    "check_options",
    "check_parent",
    "check_seed",
    "checked",
    "checked_parameters",
    "class_expressions",
    "cumcount",
    "file_aside",
    "file_digest",
    "folder_aside",
    "full_path",
    "import_all",
    "import_pandas",
    "lazy",
    "locked_folder",
    "locked_output",
    "memory_bytes",
    "named_extras",
    "old_arguments",
    "one_line",
    "open_arrow",
    "open_door",
    "open_regular",
    "options_of",
    "own_line",
    "parse_float",
    "parse_int",
    "parse_json",
    "printable",
    "printed",
    "processors",
    "read_options",
    "read_regular",
    "read_yaml",
    "registered_classes",
    "rename_new",
    "render",
    "reporter",
    "require",
    "save_figure",
    "settle",
    "shortened",
    "started_by_torchrun",
    "sync_file",
    "sync_folder",
    "typed",
    "underscored",
    "unlock",
    "value_of",
    "warn_old_name",
    "with_old_names",
    "with_options",
    "write_text",
]
