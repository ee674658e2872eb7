"""Models on the Hugging Face hub: fetched into its cache, and uploaded as the folder that they are on disk."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kinbits._util import named_extras, one_line
from kinbits.errors import ArtefactError, PlatformError
from kinbits.model.folder import FILES
from kinbits.model.shipped import model_folder

_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@named_extras()
def find_model(name: str | os.PathLike[str], revision: str | None) -> Path:
    """Return the folder of a model: a local one, or the copy of one on the hub, which is fetched where need be.

    Only the files of a model folder are fetched, and none of them is code.

    Args:
        name: A folder; the name of a model inside the package; or, as a str, the name ``"owner/model"`` on the hub
            where no such folder is here.
        revision: Branch, tag or commit on the hub.

    Raises:
        ArtefactError: If neither is there.
        PlatformError: If a model on the hub is named, and huggingface_hub is not installed.
    """
    folder = model_folder(name)
    if os.path.exists(folder) or not isinstance(name, str) or not _NAME.fullmatch(name):
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except _hub_errors() as error:
        raise ArtefactError(
            f"there is no folder {folder}, and the hub does not give a model '{name}' ({one_line(error)}); check the "
            "name and the network"
        ) from None


@named_extras()
def upload(folder: Path, name: str, *, private: bool | None, revision: str | None, message: str) -> str:
    """Upload a model folder, and return its address.

    Raises:
        PlatformError: If the hub refuses, or cannot be reached; or huggingface_hub is not installed.
    """
    from huggingface_hub import HfApi

    hub = HfApi(library_name="kinbits")
    try:
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, revision=revision, commit_message=message)
    except _hub_errors() as error:
        raise PlatformError(
            f"the model '{name}' cannot be uploaded: the hub refuses it or cannot be reached ({one_line(error)}); "
            "check name, login and network"
        ) from None
    return str(address)


def _hub_errors() -> tuple[type[Exception], ...]:
    """Return what huggingface_hub raises: also errors of its HTTP client, which differs between its versions."""
    from huggingface_hub.errors import HfHubHTTPError

    return (ValueError, *HfHubHTTPError.__bases__, OSError)
