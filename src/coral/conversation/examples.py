"""Few-shot examples of the user's own: problems with replies, shown before the problem at hand.

{"question": "What is 2 + 2?", "answer": "Two and two are four. Answer: 4"}
{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from coral import prompts
from coral.errors import ConfigError, DataError
from coral.notation import lists
from coral.tasks import files
from coral.tasks.files import Row
from coral.tasks.own.fields import plain
from coral.types import Message, Problem, Role

ShownAs = Literal["turns", "system"]
SHORTEST_QUOTE = 20
"""Characters of a question that is looked for within an example; a shorter one has to be all of a message."""


def load_examples(path: str, option: str) -> tuple[Message, ...]:
    """The messages of all examples of a file, one example after the other.

    Args:
        option: that names the file, for messages.

    Raises:
        DataError: the file cannot be read, or an example is none; names the line.
    """
    file = Path(path).expanduser()
    if not file.is_file():  # texts of options are named as @FILE, so this may be, too
        file = Path(path.removeprefix("@")).expanduser()
    if not file.is_file():
        fault = f"'{path}' is a folder" if file.is_dir() else f"there is no file '{path}'"
        raise DataError(f"{option}: {fault}", remedy="give a file of examples, such as jsonl or csv")
    found = tuple(message for row in files.read(file) for message in _messages(row))
    if not found:
        raise DataError(f"{path} is empty", remedy="name the file that holds the examples")
    return found


_PAIRS = (
    ("question", "answer"), ("prompt", "completion"), ("prompt", "response"), ("instruction", "output"),
    ("input", "output"), ("input", "target"), ("problem", "solution"), ("problem", "answer"),
    ("query", "response"), ("user", "assistant"),
)  # fmt: skip
"""What a problem and its reply are called; case, blanks, `_` and `-` do not count."""
_CHATS = ("messages", "conversations", "conversation")
_SPEAKERS = {"human": "user", "gpt": "assistant", "model": "assistant"}
"""What chats of other tools call the two."""
_FORM = 'write {"question": ..., "answer": ...}, or {"messages": [{"role": "user", "content": ...}, ...]}'


def _messages(row: Row) -> list[Message]:
    """An example as it would have been a conversation: a user's message first, a reply last."""
    there = {plain(name): name for name in row.fields}
    chat = next((there[name] for name in _CHATS if name in there), None)
    if chat is None:
        return [Message(role, text) for role, text in zip(_BOTH, _pair(row, there), strict=True)]
    given = lists.as_list(row.value(chat))  # in csv a list is a text
    if not given:
        raise row.error(f"the field '{chat}' is not a list of messages", remedy=_FORM)
    messages = [_message(one, row) for one in given]
    roles = [message.role for message in messages]
    if roles != [Role.USER, Role.ASSISTANT] * (len(roles) // 2):
        raise row.error(
            f"its messages are by {', '.join(role.value for role in roles)}",
            remedy="user and assistant take turns, the user first; a system prompt is --agent.system_prompt",
        )
    return messages


_BOTH = (Role.USER, Role.ASSISTANT)


def _pair(row: Row, there: Mapping[str, str]) -> tuple[str, str]:
    """The texts of a problem and its reply; `there`: the record's fields by their plain names."""
    named = [(there[asked], there[said]) for asked, said in _PAIRS if asked in there and said in there]
    pair = next((pair for pair in named if all(map(row.has, pair))), None)
    if pair is None:
        has = f"this record has: {', '.join(filter(row.has, there.values())) or 'nothing'}"
        raise row.error("an example has a question and an answer, or messages", remedy=f"{_FORM}; {has}")
    if any(map(row.has, ("choices", "options"))):
        raise row.error(
            "an example shows what its question and answer say, and not its choices",
            remedy="write the choices into the question, and the answer as a reply: Answer: (B)",
        )
    for name in pair:
        if isinstance(row.value(name), list | dict):
            raise row.error(f"the field '{name}' of an example is not one text", remedy=_FORM)
    return row.scalar(pair[0]), row.scalar(pair[1])


def _message(one: object, row: Row) -> Message:
    one = one if isinstance(one, dict) else {}
    role, content = one.get("role", one.get("from")), one.get("content", one.get("value"))
    role = _SPEAKERS.get(role, role) if isinstance(role, str) else role
    if isinstance(content, list) and all(isinstance(part, dict) and "text" in part for part in content):
        content = "\n\n".join(str(part["text"]) for part in content)
    roles = [known.value for known in Role]
    if role not in roles:
        raise row.error(f"a message has the role {role!r:.40}", remedy=f"a role is {' or '.join(roles)}")
    if not isinstance(content, str) or not content.strip():
        raise row.error("the content of a message is not a text, or empty", remedy=_FORM)
    return Message(Role(role), content)


def within(system: str, examples: Sequence[Message]) -> str:
    """A system prompt with examples below it."""
    shown = []
    for message in examples:
        heading = "Problem" if message.role is Role.USER else "Reply"
        shown.append(f"## {heading}\n\n{message.content}")
    return prompts.render(prompts.builtin("examples"), system=system, examples="\n\n".join(shown))


def digest(path: str, option: str) -> str:
    """Identifies the examples of a file in the record of a run, wherever the file is.

    Raises:
        DataError: as `load_examples`.
    """
    texts = [f"{message.role.value}: {message.content}" for message in load_examples(path, option)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def refuse_leaks(examples: Sequence[Message], problems: Iterable[Problem], option: str) -> None:
    """Refuse examples that hold a problem that is going to be asked: its answer would stand beside it.

    Raises:
        ConfigError: one does; names the problem.
    """
    shown = [_squeezed(message.content) for message in examples]
    whole, everything = set(shown), "\n".join(shown)
    for problem in problems:
        question = _squeezed(problem.question)
        if question in whole or (len(question) >= SHORTEST_QUOTE and question in everything):
            raise ConfigError(
                f"{option}: an example holds the problem {problem.id}, which is to be asked",
                remedy="take that example out, or leave the problem out (--problems FILE, --split)",
            )


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())
