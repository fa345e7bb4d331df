"""The page as one HTML document that needs no server: modules, style and what it begins with inside."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import msgspec

from coral.viewer.pages import page_files


def document(data: object, *, from_folder: bool = False) -> bytes:
    """The document.

    Args:
        data: what the page begins with, as JSON types.
        from_folder: it loads further scripts from the folder that it lies in.
    """
    files = page_files()
    script, style = _bundle(files), files["style.css"].decode()
    others = " 'self' file:" if from_folder else ""
    allowed = f"script-src {_hash(script)}{others}; style-src {_hash(style)}"
    begun = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    policy = f"default-src 'none'; {allowed}; img-src data:; base-uri 'none'; form-action 'none'"
    icon = base64.b64encode(files["icon.svg"]).decode()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Coral</title>\n'
        f'<link rel="icon" href="data:image/svg+xml;base64,{icon}">\n'
        f"<style>{style}</style>\n</head>\n<body>\n"
        '<div id="app"><p class="quiet">Loading…</p></div>\n'
        f'<script type="application/json" id="data">{begun}</script>\n'
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
