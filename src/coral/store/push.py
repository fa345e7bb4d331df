"""Putting a folder of rows on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from coral.errors import ConfigError, MissingExtra, UserError


class PushFailed(UserError):
    """The hub did not take the rows."""


def require_hub() -> None:
    """See whether the hub's client is there, before any work is done.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import huggingface_hub  # noqa: F401 - is it there?
    except ImportError:
        raise MissingExtra("huggingface_hub", extra="hub", why="--push_to_hub") from None


def push(folder: Path, repository: str, *, public: bool) -> str:
    """Upload a folder as a data set; returns its address.

    The token is the hub client's own: `HF_TOKEN`, or what `hf auth login` stored.

    Raises:
        MissingExtra: the hub's client is not installed.
        ConfigError: `repository` cannot be a name on the hub.
        PushFailed: the hub refuses, or cannot be reached; the folder stays as it is.
    """
    require_hub()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    of_the_network = HfHubHTTPError.__bases__  # of httpx or requests, as the client's version has it
    api = HfApi()
    try:
        made = api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            repo_type="dataset",
            folder_path=str(folder),
            commit_message="Rows of coral build",
        )
    except HFValidationError as error:
        raise ConfigError(f"push_to_hub: {error}", remedy="give OWNER/NAME") from None
    except (*of_the_network, OSError, ValueError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]  # a time-out may have no words
        raise PushFailed(
            f"the rows are in {folder}, and were not pushed to {repository}: {cause}",
            remedy=f"check HF_TOKEN and the name, then: hf upload {repository} {folder} --repo-type dataset",
        ) from None
    return str(made)
