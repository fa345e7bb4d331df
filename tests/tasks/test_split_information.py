"""Tasks in which each agent knows a part: who shares wins, who does not fails, by construction.

The agents here are functions of the messages they get: they know nothing else.
"""

import re
from collections import Counter
from random import Random

import pytest

from coral import prompts
from coral.conversation.agent import Agent
from coral.conversation.converse import ConversationConfig, converse
from coral.conversation.extraction import Extractor
from coral.conversation.protocols.pair import Pair
from coral.conversation.protocols.single import Single
from coral.errors import ConfigError
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks import context, generated, hidden_profile, registry, split_chain
from coral.tasks.protocol import Source
from coral.types import OPENER, PAIR_SEATS, RESPONDER, StopReason

FIRST_REPLY = prompts.builtin("first_reply")

SIZE = 60
LISTED = re.compile(r"^- (\w+): ([\w, ]+)\.$", re.MULTILINE)
LINK = re.compile(r"(\w+) has the (\w+) key|The (\w+) key opens the (\w+)")


def letter_of(choice, text):
    return re.search(rf"\b{choice} \(([A-H])\)", text)[1]


def best(merits, text):
    """The person with the most merits; merits heard twice count once."""
    return letter_of(max(merits, key=lambda person: len(merits[person])), text)


def merits_in(text):
    merits = {}
    for person, listed in LISTED.findall(text):
        merits.setdefault(person, set()).update(listed.split(", "))
    return merits


def pools(text, part):
    """Tells all merits it knows, and judges by all that it has heard."""
    return f"{part}\nAnswer: ({best(merits_in(text), text)})"


def keeps_to_its_list(text, part):
    """Judges by its own list, and tells nothing."""
    return f"Answer: ({best(merits_in(part), text)})"


def joins(text, part):
    """Tells its half, and answers the first choice until it can follow the chain."""
    links = {found[0] or found[2]: found[1] or found[3] for found in LINK.findall(text)}
    person = re.search(r"What can (\w+) open", text)[1]
    opened = links.get(links.get(person))
    return f"{part}\nAnswer: ({letter_of(opened, text) if opened else 'A'})"


def guesses(text, part):
    """Tells nothing, and answers by the words of its own half alone."""
    return f"Answer: ({'ABCD'[Random(part).randrange(4)]})"


def agent(manner):
    def script(request):
        text = "\n\n".join(message.content for message in request.messages)
        part = re.search(r"^You know th[^\n]+:\n(.+?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)[1]
        return manner(text, part)

    return Agent(name="agent", model=ScriptedModel(script), sampling=Sampling(), system="")


async def outcomes(name, opener, responder, **options):
    """Of each problem: its groups, and whether the conversation agreed and was right (alone: was right)."""
    task = registry.load(name, size=SIZE, **options)
    extractor = Extractor(mode="rules", task=task, model=None, sampling=Sampling(), template="")
    protocol = Single(agent="responder") if opener is None else Pair(max_turns=6, first_reply=FIRST_REPLY)
    config = ConversationConfig(task=task, protocol=protocol, extractor=extractor, seed=0)
    agents = {RESPONDER: agent(responder), **({} if opener is None else {OPENER: agent(opener)})}
    found = []
    for problem in task.problems(Source(data=None, split="")):
        talk = await converse(problem, sample=0, agents=agents, config=config)
        over = opener is None or talk.stop is StopReason.AGREED
        found.append((problem.group, over and talk.turns[-1].reply.correct))
    return found


def share(found):
    return sum(right for _, right in found) / len(found)


async def test_who_pools_finds_the_hidden_profile_and_who_does_not_misses_it():
    """The shared merits favour the wrong person, and what one agent alone knows decides."""
    assert share(await outcomes("hidden_profile", pools, pools, hidden=1.0)) == 1
    assert share(await outcomes("hidden_profile", keeps_to_its_list, keeps_to_its_list, hidden=1.0)) == 0
    assert share(await outcomes("hidden_profile", None, pools, hidden=1.0)) == 0


async def test_one_agent_that_pools_is_not_enough_against_one_that_does_not():
    """A merit that is told to somebody who does not listen is lost: no right agreement comes of it."""
    assert share(await outcomes("hidden_profile", keeps_to_its_list, pools, hidden=1.0)) == 0


async def test_a_manifest_profile_needs_no_partner():
    """The control of the experiment: the same lists' lengths, and the leader is the best."""
    for opener in (None, keeps_to_its_list, pools):
        assert share(await outcomes("hidden_profile", opener, opener or pools, hidden=0.0)) == 1


async def test_by_default_half_of_the_profiles_are_hidden_and_lists_do_not_tell_which():
    """Trusting the own list is right exactly where the profile is manifest: about every second time."""
    alone = await outcomes("hidden_profile", None, keeps_to_its_list)
    assert all(right is (group["profile"] == "manifest") for group, right in alone)
    assert 0.35 < share(alone) < 0.65
    assert share(await outcomes("hidden_profile", pools, pools)) == 1


def test_a_list_looks_alike_in_hidden_and_manifest_profiles():
    """How many merits each person has in a list is drawn before the profile: nothing there gives it away."""
    counts = {}
    for hidden in (0.0, 1.0):
        rng = Random(1)
        drawn = [hidden_profile.draw(rng, 3, hidden) for _ in range(4000)]
        lengths = [
            tuple(sorted(len(merits) for merits in merits_in(problem.source[seat]).values()))
            for problem in drawn
            for seat in PAIR_SEATS
        ]
        counts[hidden] = Counter(lengths)
    assert counts[0.0].keys() == counts[1.0].keys()
    for lengths, count in counts[0.0].items():
        assert count == pytest.approx(counts[1.0][lengths], rel=0.25, abs=60)


async def test_two_halves_of_a_chain_make_an_answer_and_one_half_makes_none():
    """Whoever holds half a chain is right by luck; who tells it and listens is right."""
    assert share(await outcomes("split_chain", joins, joins)) == 1
    assert 0.1 < share(await outcomes("split_chain", None, joins)) < 0.4
    assert share(await outcomes("split_chain", guesses, guesses)) < 0.2


async def test_one_who_tells_is_enough_for_a_partner_who_joins():
    """The halves are dealt to either seat: from each of them the chain can be closed."""
    first = await outcomes("split_chain", joins, guesses)
    assert share(first) < 0.5  # who is told nothing cannot join
    halves = Counter(
        " has " in problem.source["opener"]
        for problem in registry.load("split_chain", size=200).problems(Source(data=None, split=""))
    )
    assert 70 < halves[True] < 130


def test_each_half_of_a_chain_fits_every_answer():
    """A half names every choice once or none at all, so it favours none."""
    for problem in registry.load("split_chain", size=SIZE).problems(Source(data=None, split="")):
        for seat in PAIR_SEATS:
            named = [choice for choice in problem.choices if choice in problem.source[seat]]
            assert named in ([], list(problem.choices))


GENERATED = ("hidden_profile", "split_chain")


@pytest.mark.parametrize("name", GENERATED)
def test_splits_share_no_problem_and_a_larger_set_begins_with_the_smaller(name):
    """A run can be extended, and no test problem is trained on."""
    drawn = {
        split: list(registry.load(name, size=SIZE).problems(Source(data=None, split=split)))
        for split in generated.SPLITS
    }
    assert len({problem.id for problems in drawn.values() for problem in problems}) == 3 * SIZE
    for split, problems in drawn.items():
        assert all(generated.split_of(problem) == split for problem in problems)
        shorter = registry.load(name, size=10).problems(Source(data=None, split=split))
        assert list(shorter) == problems[:10]
    other = registry.load(name, size=SIZE).problems(Source(data=None, split="test", seed=1))
    assert list(other) != drawn["test"]


@pytest.mark.parametrize("name", GENERATED)
async def test_letters_are_balanced_and_the_gold_is_right(name):
    """No letter pays, the opening shows the choices and no part, and both parts are different."""
    task = registry.load(name, size=300)
    problems = list(task.problems(Source(data=None, split="")))
    letters = Counter(problem.target for problem in problems)
    assert min(letters.values()) > 0.7 * 300 / len(letters)
    for problem in problems[:20]:
        assert await task.grade(problem.target, problem) is True
        parts = [task.briefing(problem, seat) for seat in PAIR_SEATS]
        assert parts[0] != parts[1]
        assert all(part not in task.opening(problem) for part in parts)
        assert all(f"{choice} (" in task.opening(problem) for choice in problem.choices)


REFUSED = [
    ("hidden_profile", {"size": 0}),
    ("hidden_profile", {"num_choices": 1}),
    ("hidden_profile", {"num_choices": 9}),
    ("hidden_profile", {"hidden": 1.5}),
    ("hidden_profile", {"hidden": float("nan")}),
    ("split_chain", {"size": -1}),
    ("split_chain", {"num_choices": 9}),
    ("split_chain", {"num_choices": 1}),
]


@pytest.mark.parametrize(("name", "options"), REFUSED, ids=str)
def test_options_out_of_range_are_refused_with_a_remedy(name, options):
    """A wrong option is the user's error, told before anything is generated."""
    with pytest.raises(ConfigError, match=f"{name} cannot take {next(iter(options))}=") as caught:
        registry.load(name, **options)
    assert caught.value.remedy


def test_options_that_leave_too_few_problems_end_with_an_error():
    """Where nothing new can be drawn, that is told and not searched for without end."""
    task = registry.load("split_chain")
    only = split_chain.draw(Random(0), 4)
    source = Source(data=None, split=generated.split_of(only))
    with pytest.raises(ConfigError, match="finds no 2 different problems") as caught:
        list(generated.problems(source, task.info, 2, lambda rng: only))
    assert "--task.size" in caught.value.remedy


def test_no_file_is_read():
    """Data that are named are never silently ignored."""
    with pytest.raises(ConfigError, match="reads no file"):
        list(registry.load("split_chain").problems(Source(data="links.json", split="")))


SAMPLES = [
    ("mmlu_pro", "mmlu_pro/test.sample.jsonl", {}),
    ("gpqa", "gpqa/SYNTHETIC_fixture.csv", {}),
    ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", {"choices": True}),
    ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", {}),
    ("sally_anne", None, {}),
]


def words_of(text):
    return Counter(re.findall(r"\S+", text))


@pytest.mark.parametrize(("name", "file", "options"), SAMPLES, ids=str)
def test_half_of_the_context_is_hidden_from_each_seat_and_nothing_is_lost(data, name, file, options):
    """Both openings are alike, each piece is told to one seat alone, and the two together are the whole."""
    whole, split = (registry.load(name, **options, split_context=hides) for hides in (False, True))
    source = Source(data=str(data / file) if file else None, split="")
    for complete, problem in zip(whole.problems(source), split.problems(source), strict=True):
        assert (problem.id, problem.target) == (complete.id, complete.target)
        assert problem.group == {**complete.group, "split": problem.group["split"]}
        parts = [set(split.briefing(problem, seat).splitlines()[1:]) for seat in PAIR_SEATS]
        assert not parts[0] & parts[1]
        assert all(part not in split.opening(problem) for part in parts[0] | parts[1])
        if problem.group["split"] == "context":  # the question stays with both, so the sizes differ by one
            assert abs(len(parts[0]) - len(parts[1])) <= 1
        told = words_of(" ".join([split.opening(problem), *parts[0], *parts[1]]))
        header = words_of("Story:")  # of sally_anne, which stands above the lines
        assert not words_of(whole.opening(complete)) - told - header
        assert whole.briefing(complete, OPENER) == ""


def test_where_only_a_question_is_there_the_choices_are_dealt(write):
    """A question of one sentence has no context to hide: each seat knows half of the letters' texts."""
    record = {"question": "What is 2+2?", "options": ["3", "4", "5"], "answer": "B", "category": "math"}
    task = registry.load("mmlu_pro", split_context=True)
    problem = next(task.problems(Source(data=str(write("test.jsonl", [record])), split="test")))
    assert problem.group == {"category": "math", "split": "choices"}
    assert task.opening(problem).endswith(
        "(A) (told to one of you)\n(B) (told to one of you)\n(C) (told to one of you)"
    )
    told = [task.briefing(problem, seat).splitlines()[1:] for seat in PAIR_SEATS]
    assert sorted(told[0] + told[1]) == ["(A) 3", "(B) 4", "(C) 5"]
    assert all(told)


CONTEXTS = [
    ("One. Two. What?", ["One.", "Two.", "What?"]),
    ("a = 1\nb = 2\n\nWhat is a + b?", ["a = 1", "b = 2", "What is a + b?"]),
    ("Only this?", ["Only this?"]),
    (
        "A line of 2.5 m. It is cut at 0.5 m. How long?",
        ["A line of 2.5 m.", "It is cut at 0.5 m.", "How long?"],
    ),
    ("First line.\nSecond one. Why?", ["First line.", "Second one.", "Why?"]),
    ('He said "no." Then he left. Why?', ['He said "no."', "Then he left.", "Why?"]),
]


@pytest.mark.parametrize(("text", "expected"), CONTEXTS, ids=[row[0] for row in CONTEXTS])
def test_a_text_is_cut_into_lines_or_sentences(text, expected):
    """Lines where there are several, sentences otherwise; numbers with a point stay whole."""
    assert context.pieces(text) == expected


def test_a_story_is_split_in_one_way_at_a_time():
    """Days and lines cannot both be dealt."""
    with pytest.raises(ConfigError, match="split_context"):
        registry.load("sally_anne", split_context=True, split_information=True)
