"""The page of a run in one file that opens from the disk: page, modules and conversations inside it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import ConfigError, RunFolderError
from coral.evaluation.redact import REDACTED, redact_conversation
from coral.store.whole import whole_file
from coral.viewer import queries
from coral.viewer.conversation import shown
from coral.viewer.index import RunIndex
from coral.viewer.overview import overview
from coral.viewer.server import page_files

MOST_CONVERSATIONS = 5_000
MOST_BYTES = 30_000_000
"""Of the file: more is slow to open, and refused by mail and chat."""


def write(index: RunIndex, name: str, output: Path, *, redact: bool | None = None) -> tuple[int, bool]:
    """Write a run as one HTML file.

    Args:
        redact: leave out everything that holds or may quote a problem; None: if the task is confidential.

    Returns:
        How many conversations it holds, and whether they were redacted.

    Raises:
        UserError: the run is too large for one file, or the file exists or cannot be written.
    """
    is_confidential = index.task is not None and index.task.info.confidential
    redacted = is_confidential if redact is None else redact
    index.update()
    (count,) = index.connection.execute("SELECT count(*) FROM conversations").fetchone()
    if count > MOST_CONVERSATIONS:
        raise _too_large(f"{count:,} conversations; one file holds {MOST_CONVERSATIONS:,}")
    packed = base64.b64encode(gzip.compress(msgspec.json.encode(_data(index, name, redacted)), mtime=0))
    document = _document(packed.decode())
    if len(document) > MOST_BYTES:
        raise _too_large(
            f"the file would have {len(document) / 1e6:.0f} MB; {MOST_BYTES / 1e6:.0f} are the most"
        )
    try:
        with whole_file(output, replace=False) as file:
            file.write(document)
    except FileExistsError:
        raise RunFolderError(f"{output} exists", remedy="choose another --export") from None
    except OSError as error:
        raise RunFolderError(
            f"cannot write {output}: {error.strerror}", remedy="free space, or choose another --export"
        ) from None
    return count, redacted


def _too_large(cause: str) -> ConfigError:
    return ConfigError(
        f"the run is too large for one file: {cause}",
        remedy="pass on the run folder itself; `coral view` shows it there",
    )


def _data(index: RunIndex, name: str, redacted: bool) -> dict[str, Any]:
    """What the page would ask the server for."""
    kinds: dict[str, list[str]] = {}
    for kind, (_, condition) in queries.KINDS.items():
        for (identity,) in index.connection.execute(
            f"SELECT id FROM conversations WHERE {condition}"  # noqa: S608 - our own words
        ):
            kinds.setdefault(identity, []).append(kind)
    rows = queries.rows(index.connection, {"limit": str(MOST_CONVERSATIONS)}, most=MOST_CONVERSATIONS)["rows"]
    conversations = {}
    for conversation in index.folder.conversations():
        told = redact_conversation(conversation) if redacted else conversation
        page = shown(index, told)
        if redacted:
            page["briefings"] = dict.fromkeys(page["briefings"], REDACTED)
        conversations[conversation.id] = page
    return {
        "overview": _told(overview(index, name), redacted),
        "rows": [{**row, "kinds": kinds.get(row["id"], []), "failure": None if redacted else row["failure"]}
                 for row in rows],
        "conversations": conversations,
    }  # fmt: skip


def _told(found: dict[str, Any], redacted: bool) -> dict[str, Any]:
    """The overview as others may see it: where the run lies is nobody's business."""
    kept = {**found, "path": "", "number": 0, "indexing": False, "taken": found["conversations"], "error": ""}
    if redacted:
        kept |= {"prompts": None, "failures": [], "damaged": [], "notes": []}
    return kept


def _document(packed: str) -> bytes:
    files = page_files()
    script, style = _bundle(files), files["style.css"].decode()
    allowed = f"script-src {_hash(script)}; style-src {_hash(style)}"
    policy = f"default-src 'none'; {allowed}; img-src data:; base-uri 'none'; form-action 'none'"
    icon = base64.b64encode(files["icon.svg"]).decode()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Coral</title>\n'
        f'<link rel="icon" href="data:image/svg+xml;base64,{icon}">\n'
        f"<style>{style}</style>\n</head>\n<body>\n"
        '<div id="app"><p class="quiet">Loading…</p></div>\n'
        f'<script type="application/json" id="data">"{packed}"</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    ).encode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_EXPORT_LIST = re.compile(r"export\s*\{([^}]*)\};?\s*$")


def _bundle(files: dict[str, bytes]) -> str:
    """The page's modules as one: each a function that is called once, after those that it imports."""
    return "\n".join(_wrapped(name, files[name].decode()) for name in _in_order("app.js", files, []))


def _in_order(name: str, files: dict[str, bytes], seen: list[str]) -> Iterator[str]:
    """A module after all that it imports, each once."""
    if name in seen:
        return
    seen.append(name)
    for _, other in _IMPORT.findall(files[name].decode()):
        yield from _in_order(other, files, seen)
    yield name


def _wrapped(name: str, text: str) -> str:
    exported = {found: found for found in _EXPORT.findall(text)}
    if found := _EXPORT_LIST.search(text):  # of the vendored library: `a as b`
        pairs = (one.split(" as ") for one in found[1].split(","))
        exported |= {pair[-1].strip(): pair[0].strip() for pair in pairs}
        text = text[: found.start()]
    text = _IMPORT.sub(
        lambda one: f"const {{{_renamed(one[1])}}} = {_variable(one[2])};", _EXPORT.sub("", text)
    )
    offered = ", ".join(f"{outer}: {inner}" for outer, inner in exported.items())
    body = text.replace("</script", "<\\/script")
    return f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {offered} }};\n}})();"


def _renamed(names: str) -> str:
    return re.sub(r"(\w+) as (\w+)", r"\1: \2", names)


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name)
