"""What was paid for is counted, also where a request, a turn or a conversation fails for it in the end."""

import pytest
from aiohttp import web

from coral.api import evaluate_async, sample_async, score_async

PROMPT, WRITTEN = 7, 3


class Till:
    """A server that says what a table tells it, and counts what it charges."""

    def __init__(self, agent, extractor=None):
        self._says = {"agent": agent, "extractor": extractor}
        self.asked = {"agent": 0, "extractor": 0}
        self.charged = {"agent": 0, "extractor": 0}

    def __call__(self, _, body):
        role = "extractor" if "\n# Message\n" in body["messages"][-1]["content"] else "agent"
        said = self._says[role](self.asked[role])
        self.asked[role] += 1
        if isinstance(said, int):
            return web.json_response({"error": {"message": "out of order"}}, status=said)
        text, finish_reason = said
        self.charged[role] += 1
        message = {"role": "assistant", "content": text}
        return web.json_response(
            {
                "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
                "usage": {"prompt_tokens": PROMPT, "completion_tokens": WRITTEN},
            }
        )


def always(text, finish_reason="stop"):
    return lambda number: (text, finish_reason)


def first(*said, then):
    """`said`, one after the other, and then always the same."""
    return lambda number: said[number] if number < len(said) else then


BLANK, PROSE, CUT = ("", "stop"), ("I like stories.", "stop"), ("I like", "length")
LOST = {
    "blank replies to the end": (1, "rules", first(then=BLANK), None),
    "blank replies, then refusals": (1, "rules", first(BLANK, BLANK, then=400), None),
    "blank replies, then no server": (1, "rules", first(BLANK, BLANK, then=500), None),
    "a reply whose extraction fails": (1, "model", always("I like stories."), first(then=500)),
    "extractions that are blank": (1, "model", always("I like stories."), first(then=BLANK)),
    "an extraction that fails when asked again": (
        1, "hybrid", always("I like stories."), first(("Answer: (A)", "stop"), then=500),
    ),
    "candidates that are all cut": (3, "rules", first(then=CUT), None),
    "candidates of which one is refused": (3, "rules", first(PROSE, PROSE, then=400), None),
    "candidates that are not extracted": (3, "model", always("I like stories."), first(then=BLANK)),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
async def test_no_paid_token_is_lost_from_the_counts(serve, data, tmp_path, name):
    """By role, in the run's summary, in that of `coral score`, and after the same command again."""
    candidates, mode, agent, extractor = LOST[name]
    till = Till(agent, extractor)
    async with serve(react=till) as (url, _):
        options = {
            "agent": {"model": "lmstudio/m", "base_url": url, "max_attempts": 3, "backoff_s": 0.001},
            "extractor": {"mode": mode},
            "data": data,
            "output": str(tmp_path / "run"),
            "limit": 1,
            "max_turns": 2,
            "max_failed_rate": 1.0,
        }
        if candidates > 1:
            run = await sample_async("hi_tom", **options, samples=1, candidates=candidates)
        else:
            run = await evaluate_async("hi_tom", **options)
    assert till.charged["agent"], "the table pays for something"
    for summary in (run.summary, await score_async(run.path)):
        usage = summary.usage
        found = {role: (usage[role].prompt_tokens, usage[role].completion_tokens) for role in usage}
        partner = found.pop("partner", (0, 0))
        found["agent"] = tuple(map(sum, zip(found.get("agent", (0, 0)), partner, strict=True)))
        found.setdefault("extractor", (0, 0))
        assert found == {role: (PROMPT * times, WRITTEN * times) for role, times in till.charged.items()}
        assert summary.requests == sum(till.asked.values())
