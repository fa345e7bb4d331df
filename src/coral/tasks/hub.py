"""Data sets on the Hugging Face hub: `hf://datasets/OWNER/NAME[@REVISION][/FILE]` becomes a local path.

The download, the cache, offline use and the login are `huggingface_hub`'s own; what it raises is told as a
`UserError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from coral.errors import ConfigError, DataError, MissingExtra
from coral.tasks import files

SCHEME = "hf://"
_ADDRESS = re.compile(
    r"hf://datasets/(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<inner>.*))?", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A data set on the hub. `inner` is a file or folder in it, "" for all; revision None is the newest."""

    repository: str
    revision: str | None
    inner: str


def parse(text: str) -> Address:
    """Read an address. A revision that holds a slash is written with %2F.

    Raises:
        ConfigError: it is not of the form above.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"'{text}' is not the address of a data set on the hub",
            remedy="write hf://datasets/OWNER/NAME, with @REVISION and /FILE after it where needed",
        )
    revision = match["revision"]
    return Address(
        repository=match["repository"],
        revision=unquote(revision) if revision else None,
        inner=(match["inner"] or "").strip("/"),
    )


def fetch(address: Address) -> Path:
    """Download what is not in the cache yet, and return the local file or folder.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        DataError: it does not exist, is gated, or the hub cannot be reached and it is not in the cache.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtra("huggingface_hub", extra="hub", why="reading hf:// addresses") from error
    try:
        if files.data_format(address.inner) or address.inner.endswith(".zip"):
            return Path(
                huggingface_hub.hf_hub_download(
                    address.repository, address.inner, repo_type="dataset", revision=address.revision
                )
            )
        snapshot = huggingface_hub.snapshot_download(
            address.repository,
            repo_type="dataset",
            revision=address.revision,
            allow_patterns=_patterns(address.inner),
        )
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.HFValidationError, OSError) as error:
        raise _explain(error, address) from error
    return Path(snapshot) / address.inner


def _patterns(inner: str) -> list[str]:
    folder = f"{inner}/" if inner else ""
    return [f"{folder}*{ending}{packed}" for ending in files.FORMATS for packed in ("", ".gz")]


def _explain(error: Exception, address: Address) -> DataError:
    """The most telling cause first: the hub's exceptions inherit from each other."""
    from huggingface_hub import errors

    where = f"the data set {address.repository} on the hub"
    page = f"https://huggingface.co/datasets/{address.repository}"
    at = f"revision '{address.revision}'" if address.revision else "its newest revision"
    causes: tuple[tuple[type[Exception], str, str], ...] = (
        (
            errors.GatedRepoError,
            f"{where} is open only to those whom its authors admit",
            f"ask for access at {page}, then run `hf auth login`",
        ),
        (
            errors.RepositoryNotFoundError,
            f"{where} does not exist, or is private",
            "check the spelling; for a private one run `hf auth login`",
        ),
        (errors.RevisionNotFoundError, f"{where} has no {at}", "leave @REVISION out, or give one it has"),
        (
            errors.LocalEntryNotFoundError,
            f"the hub cannot be reached, and {where} is not in the local cache",
            "check the connection and HF_HUB_OFFLINE, or download the file elsewhere and give its path",
        ),
        (
            errors.EntryNotFoundError,
            f"{where} has no file '{address.inner}' in {at}",
            f"look up its files at {page}/tree/main",
        ),
    )
    for kind, message, remedy in causes:
        if isinstance(error, kind):
            return DataError(message, remedy=remedy)
    return DataError(
        f"{where} cannot be fetched: {error}", remedy="try again, or give the path of a local copy"
    )
