"""DPO and KTO rows: which candidates make a pair, which pairs are kept."""

from collections import Counter

import pytest

from coral.errors import DataError


def pairs_of(built):
    return sorted((row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in built.rows)


@pytest.mark.parametrize(
    ("candidates", "pairs", "why"),
    [
        (["4", "5"], 1, "right against wrong"),
        (["4", "?"], 1, "right against unsure: everything that is not right is negative"),
        (["5", "?"], 0, "nothing right to prefer"),
        (["4", "4"], 0, "nothing to reject"),
        (["4", "!"], 0, "what cannot be read may be right: on neither side"),
        (["5", "!"], 0, "what cannot be read is not preferred either"),
        (["4", "5", "!"], 1, "an unreadable sibling does not spoil the others"),
    ],
)
async def test_a_pair_is_right_against_not_right(workshop, talk, candidates, pairs, why):
    """The belief alone decides (paper, section 4.1); what has no known grade is left out."""
    lone = talk("2+2", candidates)
    if not pairs:
        with pytest.raises(DataError, match="no row is left") as caught:
            await workshop.build(lone, kind="dpo")
        assert "in none of 1 turns" in str(caught.value)
        return
    built = await workshop.build(lone, kind="dpo")
    assert len(built.rows) == pairs, why
    assert {row["margin"] for row in built.rows} == {1.0}


@pytest.mark.parametrize(
    ("options", "cause", "remedy"),
    [
        ({"score": "rollouts"}, "none of 2 candidates has roll-outs", "--rollouts 2"),
        (
            {"max_prompt_chars": 1},
            "'max_prompt_chars' kept none of 1 turns",
            "--max_prompt_chars another value",
        ),
        ({"conversations": "agreed"}, "'agreed' kept none of 1 conversations", "name other runs"),
    ],
)
async def test_where_the_last_row_was_lost_is_said_with_what_helps(workshop, talk, options, cause, remedy):
    """The first filter that keeps nothing is the cause."""
    with pytest.raises(DataError, match=cause) as caught:
        await workshop.build(talk("2+2", ["4", "5"]), kind="dpo", **options)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("spoilt", [{"cut": True}, {"text": "  "}])
async def test_cut_and_empty_candidates_teach_nothing(workshop, talk, say, spoilt):
    """A reply that its token limit cut, or that is empty, stands on neither side."""
    bad = [say("4", **spoilt), say("5", **spoilt)]
    built = await workshop.build(talk("2+2", ["4", "5", *bad]), kind="dpo")
    assert pairs_of(built) == [("I say 4.", "I say 5.")]
    assert built.kept["candidates", "complete"] == (2, 4)


async def test_a_text_is_not_preferred_to_itself(workshop, talk, say):
    """An extractor may read the same words in two ways; there is nothing in them to prefer."""
    same = [say("4", "so be it"), say("5", "so be it"), say("5", "no")]
    built = await workshop.build(talk("2+2", same), kind="dpo")
    assert pairs_of(built) == [("so be it", "no")]


COUNTED = [
    ([("4", "same"), ("5", "same"), ("5", "no")], (1, 2), "one of two"),
    ([("4", "same"), ("5", "same"), ("5", "same"), ("5", "no")], (1, 3), "two of three"),
    ([("4", "a"), ("5", "a"), ("4", "b"), ("5", "b")], (2, 4), "each beside the other"),
    ([("4", "yes"), ("5", "no")], None, "nothing is skipped, and nothing said of it"),
    ([("4", "same"), ("4", "same"), ("5", "no")], None, "equal texts on one side are no pair"),
]


@pytest.mark.parametrize(("said", "counted", "reason"), COUNTED, ids=[row[2] for row in COUNTED])
async def test_pairs_of_one_text_are_counted(workshop, talk, say, said, counted, reason):
    """The report says how many pairs were skipped because both sides are the same words."""
    built = await workshop.build(talk("2+2", [say(*each) for each in said]), kind="dpo", max_per_turn=0)
    assert built.kept.get(("pairs", "different_texts")) == counted, reason


async def test_where_all_pairs_are_of_one_text_that_is_said(workshop, talk, say):
    """The right candidate stands beside one that is not: the cause is another."""
    with pytest.raises(DataError, match="'different_texts' kept none of 2 pairs"):
        await workshop.build(talk("2+2", [say("4", "x"), say("5", "x"), say("5", "x")]), kind="dpo")


async def test_pairs_share_the_prefix_that_was_spoken(workshop, talk):
    """Siblings of a later turn answer the candidates that went on, not the others."""
    built = await workshop.build(talk("2+2", (["5", "6"], 1), ["4", "7"]), kind="dpo")
    (row,) = built.rows
    assert "I say 6." in row["prompt"][-1]["content"]
    assert "I say 5." not in str(row["prompt"])
    assert row["source"] | {"run": ""} == {
        "run": "", "conversation": "2+2#0", "turn": 2, "candidate": 0, "rejected": 1,
    }  # fmt: skip


async def test_at_most_two_pairs_a_turn_and_twenty_a_problem(workshop, talk, say):
    """The published limits are the defaults, and count over all conversations of a problem."""

    def turn(sample, index):
        return [say(answer, f"{answer} {sample} {index} {n}") for n in range(2) for answer in ("4", "5")]

    trees = [talk(p, *(turn(s, i) for i in range(5)), sample=s) for s in range(4) for p in ("2+2", "1+3")]
    built = await workshop.build(*trees, kind="dpo")
    turns = Counter((row["source"]["conversation"], row["source"]["turn"]) for row in built.rows)
    problems = Counter(row["source"]["conversation"].split("#")[0] for row in built.rows)
    assert max(turns.values()) <= 2
    assert problems == {"2+2": 20, "1+3": 20}
    assert built.kept["rows", "max_per_turn"] == (80, 160)
    assert built.kept["rows", "max_per_problem"] == (40, 80)
    unlimited = await workshop.build(*trees, kind="dpo", max_per_turn=0, max_per_problem=0)
    assert len(unlimited.rows) == 160
    few = await workshop.build(*trees, kind="dpo", max_per_turn=1, max_per_problem=3, max_rows=5)
    assert len(few.rows) == 5
    assert few.kept["rows", "max_rows"] == (5, 6)


async def test_the_draw_of_a_problem_is_spread_over_its_turns(workshop, talk, say):
    """The limit keeps a seeded draw, not the first pairs in the file."""
    turns = [[say("4", f"4 {i}"), say("5", f"5 {i}")] for i in range(40)]
    built = await workshop.build(talk("2+2", *turns), kind="dpo")
    kept = sorted(row["source"]["turn"] for row in built.rows)
    assert len(kept) == 20
    assert kept != list(range(1, 21))
    other = await workshop.build(talk("2+2", *turns), kind="dpo", seed=1)
    assert sorted(row["source"]["turn"] for row in other.rows) != kept


async def test_wrong_and_agreeing_is_the_worse_one(workshop, talk):
    """Published penalty: a wrong reply that echoes the partner loses 0.1, so its pair comes first."""
    told = talk("2+2", ["5"], ["4", "6", "5", "5.0"])
    built = await workshop.build(told, kind="dpo", agreeing_penalty=0.1, max_per_turn=0)
    margins = {row["rejected"][0]["content"]: row["margin"] for row in built.rows}
    assert margins == {"I say 6.": 1.0, "I say 5.": 1.1, "I say 5.0.": 1.1}
    first = await workshop.build(told, kind="dpo", agreeing_penalty=0.1, max_per_turn=1)
    assert "5" in first.rows[0]["rejected"][0]["content"]


async def test_right_and_agreeing_costs_nothing(workshop, talk):
    """To agree with a right partner is what the conversation is for."""
    built = await workshop.build(talk("2+2", ["4"], ["4", "5"]), kind="dpo", agreeing_penalty=0.1)
    assert [row["margin"] for row in built.rows] == [1.0]


@pytest.mark.parametrize(
    ("sizes", "margins", "why"),
    [
        (
            (10, 30),
            {"long": 0.904762, "short": 1.0},
            "tokens: 0.1 x 20 / 21 for the longest, 0 for the shortest",
        ),
        ((None, 30), {"long": 0.990909, "short": 1.0}, "one unknown: characters of all"),
    ],
)
async def test_the_length_penalty_takes_each_candidates_own_length(workshop, talk, say, sizes, margins, why):
    """The published code used the sum over all candidates, so its penalty never acted."""
    short, long = say("4", "short", tokens=sizes[0]), say("4", "long text.......", tokens=sizes[1])
    wrong = say("5", "wrong", tokens=10)
    built = await workshop.build(talk("2+2", [short, long, wrong]), kind="dpo", length_penalty=0.1)
    found = {row["chosen"][0]["content"].split()[0]: row["margin"] for row in built.rows}
    if sizes[0] is None:
        margins = {"long": round(1 - 0.1 * 11 / 12, 6), "short": 1.0}
    assert found == margins, why


async def test_changing_the_partners_mind_for_the_better_comes_first(workshop, talk, say):
    """A right reply between a partner's wrong and right turn earns the bonus, and survives the limit."""
    plain = [talk("2+2", [say("4", f"4 {s}"), say("5", f"5 {s}")], sample=s) for s in range(1, 15)]
    persuading = talk("2+2", ["5"], ["4", "6"], ["4"])
    options = {"kind": "dpo", "persuasion_bonus": 0.5, "max_per_problem": 1}
    built = await workshop.build(*plain, persuading, **options)
    (row,) = built.rows
    assert (row["source"]["conversation"], row["margin"]) == ("2+2#0", 1.5)
    assert built.report.persuasive == 1


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ((["4", "6"], ["4"]), "the first turn changes no mind: the opening is no belief"),
        ((["4"], ["4", "6"], ["4"]), "the partner was right before"),
        ((["5"], ["4", "6"], ["5"]), "the partner stays wrong"),
        ((["5"], (["4", "6"], 1), ["4"]), "the right candidate was not chosen"),
        ((["!"], ["4", "6"], ["4"]), "what the partner held is not known"),
        ((["5"], ["4", "6"]), "nobody answered it"),
    ],
)
async def test_no_bonus_without_a_changed_mind(workshop, talk, turns, why):
    """Only what is known to have turned a partner that was not right earns it."""
    built = await workshop.build(talk("2+2", *turns), kind="dpo", persuasion_bonus=0.5)
    assert {row["margin"] for row in built.rows} == {1.0}, why
    assert built.report.persuasive == 0


async def test_roll_outs_give_useful_turns_without_an_answer_their_due(workshop, talk, say):
    """By roll-outs an unsure reply that leads to the right end is preferred; a wrong answer never is."""
    turn = [
        say("?", "useful", rollouts=(True, True)),
        say("5", "lucky", rollouts=(True, True)),
        say("4", "right", rollouts=(True, False)),
        say("?", "useless", rollouts=(False, False)),
        say("4", "failed", rollouts=(None,)),
        say("4", "none"),
    ]
    built = await workshop.build(talk("2+2", turn), kind="dpo", score="rollouts", max_per_turn=0)
    assert pairs_of(built) == [("useful", "useless")], "1.0 - 0.5 is no more than the margin of 0.5"
    wider = await workshop.build(
        talk("2+2", turn), kind="dpo", score="rollouts", max_per_turn=0, min_margin=0.4
    )
    assert pairs_of(wider) == [("right", "useless"), ("useful", "right"), ("useful", "useless")]
    assert wider.kept["candidates", "graded"] == (4, 6)


async def test_majority_beliefs_need_no_gold(workshop, talk, say):
    """What most replies about a problem hold stands for the gold, equal answers counted together."""
    ungraded = [
        talk("2+2", [say("4", "a"), say("4.0", "b"), say("7", "c"), say("?", "d")], sample=s, target="")
        for s in range(2)
    ]
    built = await workshop.build(*ungraded, kind="dpo", score="majority", max_per_turn=0)
    assert pairs_of(built) == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]
    assert built.report.solved.always == 0, "the replies that were chosen agree on nothing: one turn"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["4", "5"], "a tie has no winner"),
        (["4", "4", "5", "6", "7"], "2 of 5 are no majority"),
        (["?", "?"], "no votes"),
    ],
)
async def test_no_majority_no_rows(workshop, talk, answers, why):
    """A problem whose answers are divided teaches nothing."""
    with pytest.raises(DataError):
        await workshop.build(talk("2+2", answers), kind="dpo", score="majority")


async def test_kto_takes_both_labels_of_a_turn(workshop, talk, say):
    """Two rows a turn: one desirable and one not where there are both; what has no grade is left out."""
    turn = [say("4", "a"), say("4", "b"), say("4", "c"), say("5", "d"), say("!", "e")]
    built = await workshop.build(talk("2+2", turn, ["5"]), kind="kto")
    labels = Counter((row["source"]["turn"], row["label"]) for row in built.rows)
    assert labels == {(1, True): 1, (1, False): 1, (2, False): 1}
    assert built.report.labels == {"desirable": 1, "undesirable": 2}
    assert {row["completion"][0]["content"] for row in built.rows} <= {"a", "b", "c", "d", "I say 5."}
