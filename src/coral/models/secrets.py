"""Keys and passwords: taken out of what is shown or stored, and refused where they would be stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from coral.errors import ConfigError

HIDDEN = "[key]"
"""What stands in the place of a secret."""

LEAST_LENGTH = 6
"""Shorter secrets are not looked for: they would be found in ordinary words."""

LEAST_LENGTH_OF_OTHERS = 12
"""Of variables that nobody named as a key: what they hold may be an ordinary word."""

_NAMES = r"(?:api[-_]?key|apikey|access[-_]?key|subscription[-_]?key|authorization|secret|password|passwd)"
_PATTERNS = (
    # A header or a field of JSON: "api-key": "...", Authorization: Bearer ...
    (
        re.compile(
            rf"""({_NAMES}["']?\s*[:=]\s*["']?(?:bearer\s+|basic\s+)?|\bbearer\s+)[^\s"',}}]{{{LEAST_LENGTH},}}""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # User and password of an address, such as a proxy's.
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/?#@\"'<>]{1,300}@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # A query such as ?key=...
    (
        re.compile(
            r"([?&](?:[\w-]{0,30}key|[\w-]{0,30}token|sig|signature|code|secret|password)=)[^\s&\"'#]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # What the providers' keys look like.
    (re.compile(r"\b(?:sk|gsk|xai|pplx|nvapi|hf|fw|csk|r8)[-_][\w-]{16,}|\bAIza[\w-]{30,}"), HIDDEN),
)

_IN_ADDRESS = re.compile(
    r"(?:^|[-_.])(?:key|apikey|token|auth|authorization|bearer|password|passwd|pwd|secret|sig|signature|code)$",
    re.IGNORECASE,
)
_IN_BODY = re.compile(
    r"^(?:key|token|cookie|bearer|x-auth)$|(?:api|access|secret|auth|private|subscription|account|client)[-_.]?key$|^(?:.*[-_.])?(?:apikey"
    r"|password|passwd|pwd|secret|authorization|credentials?|(?:access|auth|api|bearer|session|id|hf)[-_.]?token)$",
    re.IGNORECASE,
)


def hide(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the secrets, and without anything that looks like one."""
    for secret in secrets:
        if len(secret) >= LEAST_LENGTH:
            text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def hide_known(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets themselves; nothing else of it is touched."""
    for secret in secrets:
        if len(secret) >= LEAST_LENGTH and secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def refuse_in_address(address: str) -> None:
    """Refuse an address that holds a key: addresses stand in config files, run folders and messages.

    Raises:
        ConfigError: names the field, not its value.
    """
    query = address.partition("?")[2].partition("#")[0]
    for name, value in parse_qsl(query):
        if value and _IN_ADDRESS.search(name):
            raise ConfigError(
                f"the address {address.partition('?')[0]} holds a secret in '{name}'",
                remedy="put it into an environment variable, and name that with api_key_env",
            )


def refuse_in_body(fields: Mapping[str, Any], where: str = "extra_body") -> None:
    """Refuse a key in the fields of a request: they are stored with the run.

    Raises:
        ConfigError: names the field, not its value.
    """
    for name, value in fields.items():
        held = value if isinstance(value, list | tuple) else (value,)
        for part in held:
            if isinstance(part, Mapping):
                refuse_in_body(part, f"{where}.{name}")
        texts = [part for part in held if isinstance(part, str) and part]
        if texts and (_IN_BODY.search(str(name)) or any(hide(text) != text for text in texts)):
            raise ConfigError(
                f"{where} holds a secret in '{name}', and the options of a run are stored",
                remedy="put it into an environment variable, and name that with api_key_env",
            )


def refuse_in_command(words: Iterable[str], where: str) -> None:
    """Refuse a key among the words of a command: it is stored with the run, shown, and listed by `ps`.

    Raises:
        ConfigError: names the option that holds it, not its value.
    """
    option = ""
    for word in words:
        name, _, value = word.partition("=")
        if option and not word.startswith(("-", "{")):
            name, value = option, word
        named = value and not value.startswith("{") and _IN_BODY.search(name.lstrip("-"))
        if named or hide(word) != word:
            raise ConfigError(
                f"{where} holds a secret{f' in {name}' if named else ''}, and commands are stored and shown",
                remedy="export it in the environment variable that the server reads, such as VLLM_API_KEY: "
                "what is started sees your environment",
            )
        option = word if word.startswith("-") and _IN_BODY.search(word.lstrip("-")) else ""


def of_environment() -> tuple[str, ...]:
    """The values of environment variables that are called like secrets: a program that is started sees them,
    and may repeat them.
    """
    named = (value.strip() for name, value in os.environ.items() if _IN_BODY.search(name))
    return tuple(value for value in named if len(value) >= LEAST_LENGTH_OF_OTHERS)


def check_variable(name: str) -> None:
    """Refuse a key that stands where the name of its variable is asked for.

    Raises:
        ConfigError: does not repeat what was given.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or hide(name) != name:
        raise ConfigError(
            "api_key_env is not the name of an environment variable",
            remedy="put the key into a variable and give its name, such as api_key_env: MY_KEY",
        )


def check_key(key: str, variable: str) -> None:
    """Refuse a key that no header can carry.

    Raises:
        ConfigError: names the variable.
    """
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"the value of {variable} is not a key: it holds a line break or a character beyond ASCII",
            remedy=f"export {variable}=... again, with the key alone",
        )
