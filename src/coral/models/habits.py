"""What a model is found to refuse, or to do otherwise, while it is used; and what is changed for it.

Servers do not say beforehand that a model takes no temperature, calls `max_tokens` by another name or has no
system role: they refuse the first request that holds it. Such a refusal is understood, the request is changed
for that model in all conversations alike, and the change is an `Adjustment`: told once, and kept with the
run. Where the model has already answered a request that held the same, the change would split the run into
two kinds of conversations: then the refusal stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from coral.errors import FatalReject
from coral.models.protocol import Candidate, Request
from coral.models.providers import Target
from coral.models.retries import AttemptFailure
from coral.types import Adjustment, FinishReason, Role

DROPPED = {
    "temperature": "temperature is left to the server",
    "top_p": "top_p is left to the server",
    "seed": "no seed is sent, so the run cannot be drawn again",
    "logprobs": "no log-probabilities are asked for",
}
"""Fields that are left out where they are refused, and what is told of it."""

DECISIVE = frozenset({"temperature", "top_p", "system"})
"""What decides the texts, so it must be the same in all conversations of a run."""

MAX_TOKENS_NAMES = ("max_tokens", "max_completion_tokens")


class Habits(NamedTuple):
    """How the requests to one model are written, where that departs from its provider's row.

    Attributes:
        left_out: request fields that are not sent.
        max_tokens_field: what the limit of tokens is called.
        system_in_user: the system prompt stands in the first user message.
    """

    left_out: frozenset[str] = frozenset()
    max_tokens_field: str | None = None
    system_in_user: bool = False


AS_IN_THE_TABLE = Habits()
"""Nothing departs from the provider's row."""


class Adjustments:
    """The changes of a run, of all its models.

    Attributes:
        made: in the order in which they were found necessary.
        listener: is told each new one before any request is sent with it.
    """

    def __init__(self) -> None:
        self.made: list[Adjustment] = []
        self.listener: Callable[[Adjustment], object] | None = None
        self._models: dict[tuple[str, str | None, tuple[str, ...]], Adaptation] = {}
        self._settled = False

    def of(self, target: Target) -> Adaptation:
        """What is known of a model; roles that share it at the same addresses share that, too."""
        key = (target.name, target.replicas, target.base_urls)
        known = self._models.get(key)
        if known is None:
            known = self._models[key] = Adaptation(target, self._tell)
            known.restore([made for made in self.made if made.model == target.name], settled=self._settled)
        return known

    def restore(self, made: Iterable[Adjustment], *, settled: bool) -> None:
        """Begin where an earlier session of the run ended.

        Args:
            settled: the run has answers already: what decides texts changes no more.
        """
        self.made = list(made)
        self._settled = settled
        for adaptation in self._models.values():
            own = [adjustment for adjustment in self.made if adjustment.model == adaptation.name]
            adaptation.restore(own, settled=settled)

    def _tell(self, adjustment: Adjustment) -> None:
        self.made.append(adjustment)
        if self.listener is not None:
            self.listener(adjustment)


class Adaptation:
    """What is known of one model.

    Attributes:
        habits: how its requests are written now.
        takes_n: whether several candidates can be asked for in one request; None: not known yet.
        miscounts: it reports the tokens of one candidate as those of all.
        thinks: it was seen to think before it replies.
        most_thinking: of the tokens for thinking, on top of `max_tokens`; more were refused. None: none were.
        conflict: the model answered a request that held what it refused in another: no run can be made of
            such answers.
    """

    def __init__(self, target: Target, tell: Callable[[Adjustment], object]) -> None:
        self.name = target.name
        self.habits = AS_IN_THE_TABLE
        self.takes_n = target.provider.takes_n
        self.miscounts = False
        self.thinks = False
        self.most_thinking: int | None = None
        self.conflict: AttemptFailure | None = None
        self._target = target
        self._tell = tell
        self._accepted: frozenset[str] = frozenset()

    def restore(self, made: Iterable[Adjustment], *, settled: bool) -> None:
        """Take over what an earlier session found out."""
        for adjustment in made:
            self._apply(adjustment.setting, adjustment.value)
        if settled:
            self._accepted = frozenset(name for name in DECISIVE if not self._is_changed(name))

    def fields(self, request: Request, seed: int | None) -> frozenset[str]:
        """What a request holds of all that a model may refuse, as it is written now."""
        sampling = request.sampling
        held = {
            "temperature": sampling.temperature is not None,
            "top_p": sampling.top_p is not None,
            "max_tokens": sampling.max_tokens is not None,
            "logprobs": sampling.logprobs and not sampling.return_token_ids,
            "seed": seed is not None and self._target.provider.seed_field is not None,
            "system": bool(request.messages)
            and request.messages[0].role is Role.SYSTEM
            and not self.habits.system_in_user,
        }
        return frozenset(name for name, is_held in held.items() if is_held) - self.habits.left_out

    def learn(self, refusal: AttemptFailure, sent: frozenset[str], used: Habits) -> bool:
        """Change what was refused of a request; whether it can be sent again, changed.

        Args:
            sent: `fields` of the request that was refused.
            used: the habits that it was written with.
        """
        setting = refusal.refused
        if setting is None or refusal.too_large or setting not in sent:
            return False
        if self._is_changed(setting):
            return used != self.habits  # another request was quicker
        if setting in self._accepted and setting in DECISIVE:
            return False
        value = self._other_name() if setting == "max_tokens" else ""
        if value is None:
            return False
        self._apply(setting, value)
        self._note(setting, self._told(setting, value), value, refusal.words)
        return True

    def note_answer(self, sent: frozenset[str]) -> None:
        """The model answered a request that held these fields."""
        if sent <= self._accepted:
            return
        self._accepted |= sent
        torn = sorted(name for name in sent & DECISIVE if self._is_changed(name))
        if torn and self.conflict is None:
            told = f"the server takes {torn[0]} in some requests and refuses it in others"
            self.conflict = AttemptFailure(
                kind=FatalReject,
                message=f"{self.name}: {told}: its conversations would not be alike",
                brief=told,
                remedy=f"set {self._target.option}.{_OPTION_FOR[torn[0]]}, or leave out that endpoint",
            )

    def note_thinking(self, tokens: int) -> None:
        """The model thinks: it gets `tokens` more for that."""
        if not self.thinks:
            self.thinks = True
            told = (
                f"it thinks before it replies, so a reply may have {tokens:,} tokens more (thinking_tokens)"
            )
            self._note("thinking", told if tokens else "it thinks before it replies")

    def note_miscounts(self) -> None:
        """Several candidates in one request would cost the count of their tokens."""
        self.note_singly("the server counts the tokens of one candidate for all")

    def note_singly(self, why: str, words: str = "") -> None:
        """Several candidates cannot be asked for in one request, or not without losing count."""
        if self.takes_n is not False:
            self.takes_n = False
            self._note("n", f"{why}: candidates are asked for one by one", words=words)

    def thinking_tokens(self, wanted: int) -> int:
        """Tokens for thinking, on top of `max_tokens`, of the `wanted` ones."""
        if not self.thinks:
            return 0
        return wanted if self.most_thinking is None else min(wanted, self.most_thinking)

    def _is_changed(self, setting: str) -> bool:
        if setting == "system":
            return self.habits.system_in_user
        if setting == "max_tokens":
            return self.habits.max_tokens_field is not None
        return setting in self.habits.left_out

    def _other_name(self) -> str | None:
        """The other name of `max_tokens`; None where that is in use already."""
        if self.habits.max_tokens_field is not None:
            return None
        own = self._target.provider.max_tokens_field
        return next(name for name in MAX_TOKENS_NAMES if name != own)

    def _apply(self, setting: str, value: str) -> None:
        if setting in DROPPED:
            self.habits = self.habits._replace(left_out=self.habits.left_out | {setting})
        elif setting == "max_tokens":
            self.habits = self.habits._replace(max_tokens_field=value)
        elif setting == "system":
            self.habits = self.habits._replace(system_in_user=True)
        elif setting == "n":
            self.takes_n = False
        elif setting == "thinking":
            self.thinks = True

    def _told(self, setting: str, value: str) -> str:
        if setting == "max_tokens":
            return f"max_tokens is sent as {value}"
        if setting == "system":
            return "the system prompt is sent in the first user message"
        return DROPPED[setting]

    def _note(self, setting: str, change: str, value: str = "", words: str = "") -> None:
        self._tell(Adjustment(model=self.name, setting=setting, change=change, value=value, words=words))


def half(tokens: int) -> int:
    """Fewer tokens for thinking; below some hundred they are of no use."""
    return tokens // 2 if tokens >= 512 else 0


def was_cut_thinking(candidate: Candidate) -> bool:
    """Whether the limit of tokens went into thinking: the reply is cut, or there is none."""
    if candidate.finish_reason is not FinishReason.LENGTH:
        return False
    thought = candidate.reasoning or (candidate.usage is not None and candidate.usage.reasoning_tokens)
    return bool(thought) or not candidate.text.strip()


_OPTION_FOR = {"temperature": "temperature null", "top_p": "top_p null", "system": "system_in_user true"}
