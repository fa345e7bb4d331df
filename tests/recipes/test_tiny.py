"""The recipe of the embedded model: its dialogues are well formed, and only training problems are in them."""

import importlib
import random
import re
from argparse import Namespace
from pathlib import Path

import pytest

from coral.tasks import generated, split_chain
from coral.tasks.sally_anne import state
from coral.tasks.stories.generator import Difficulty
from coral.tasks.stories.questions import draw_question, draw_split_question
from coral.tasks.stories.skeleton import split_of
from coral.types import Role

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny"


@pytest.fixture
def recipe(monkeypatch):
    """Import a module of the recipe by name."""
    monkeypatch.syspath_prepend(str(RECIPE))
    return importlib.import_module


@pytest.fixture
def examples(recipe):
    dialogues, rng = recipe("dialogues"), random.Random(0)
    drawn = [e for _ in range(300) for e in dialogues.draw_examples(rng)]
    return [example for example in drawn if any(example.learned)]


@pytest.fixture
def only_learned(recipe, tmp_path):
    """Asserts of drills that what follows the given beginning is learned, and nothing else."""
    pytest.importorskip("torch")
    tokenizers = pytest.importorskip("tokenizers")
    train, vocabulary = recipe("train"), recipe("vocabulary")

    def check(drills):
        texts = [message.content.replace(" ", "▁") for drill in drills for message in drill.messages]
        vocabulary.write(tmp_path, sorted({word for text in texts for word in vocabulary.WORD.findall(text)}))
        tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        for drill in drills:
            row = train.encode(drill, tokenizer)
            learned = [i for i, weight in zip(row.ids, row.weights, strict=True) if weight >= 1]
            rest = drill.messages[-1].content.removeprefix(drill.given)
            assert tokenizer.decode(learned).strip() == rest.strip()

    return check


def test_examples_have_the_shape_of_the_messages_that_coral_sends(examples):
    """A user message first, then turns that alternate and end with the assistant's: as at inference."""
    for example in examples:
        roles = [message.role for message in example.messages]
        assert roles == [Role.USER, Role.ASSISTANT] * (len(roles) // 2)
        assert not any(example.learned[0::2])


def test_every_turn_ends_with_a_letter_or_says_that_it_is_unsure(recipe):
    """What the model learns to say is what the task's rules can read; drills state no problem."""
    dialogues, rng = recipe("dialogues"), random.Random(8)
    kinds = {k: v for k, v in dialogues.EVERYTHING.kinds.items() if k not in dialogues.DRILLS}
    assert sum(kinds.values()) > 0.7
    stories = dialogues.Lesson(dialogues.MEDIUM, kinds)
    for example in (e for _ in range(200) for e in dialogues.draw_examples(rng, stories)):
        for message in example.messages[1::2]:
            assert re.search(r"\nAnswer: \([A-D]\)$", message.content) or "not sure yet" in message.content
            assert "{" not in message.content


def test_learned_reasons_name_the_place_of_their_letter(recipe):
    """A reason that names one place and a letter that names another would teach confusion."""
    dialogues, rng = recipe("dialogues"), random.Random(1)
    for index in range(200):
        question = draw_question(rng, "train", index % 4, Difficulty())
        for line in dialogues._talk(rng, question):
            if line.choice is not None:
                assert line.text.endswith(f"Answer: ({'ABCD'[question.choices.index(line.choice)]})")
            if "last" in line.text:
                assert f"in the {line.choice}" in line.text


def test_speakers_err_as_often_as_they_are_told_to(recipe):
    """Imperfection is a parameter of the data, measured here: 70% right in dialogues."""
    speakers, rng = recipe("speakers"), random.Random(2)
    right = 0
    for index in range(400):
        question = draw_question(rng, "train", index % 4, Difficulty())
        right += speakers.noisy_belief(rng, question, 0.7) == speakers.gold_place(question)
    assert 250 <= right <= 310


def test_dialogues_end_in_agreement_as_a_rule_and_sometimes_on_a_wrong_answer(recipe):
    """The pair has to be able to fail: right speakers give way, and wrong ones insist."""
    dialogues, speakers, rng = recipe("dialogues"), recipe("speakers"), random.Random(3)
    agreed = wrong = 0
    for index in range(300):
        question = draw_question(rng, "train", index % 4, Difficulty())
        lines = dialogues._talk(rng, question)
        agreed += dialogues._agreed(lines)
        wrong += dialogues._agreed(lines) and lines[-1].choice != speakers.gold_place(question)
    assert agreed > 270
    assert 30 < wrong < 120


def test_what_is_compared_about_two_days_is_true(recipe):
    """Both days stand before the verdict, the later one's place is submitted, and who defers says no day."""
    halves, rng = recipe("halves"), random.Random(5)
    deferred = [0, 0, 0, 0]
    for index in range(400):
        question = draw_split_question(rng, "train", index % 4, Difficulty())
        lines = halves.talk_days(rng, question, state(question, rng))
        gold = question.choices["ABCD".index(question.target)]
        deferred[index % 4] += len(lines) == 2 and " day " not in lines[1].text
        for line in lines[1:]:
            if days := [int(day) for day in re.findall(r"day (\d+)", line.text)]:
                assert max(days[:2]) == days[2]
                assert line.choice == gold
                assert f"day {days[2]} in the {gold} ({question.target})." in line.text
    shares = [count / 100 for count in deferred]
    assert shares == pytest.approx(halves.DEFERS, abs=0.15)


def test_a_verdict_is_learned_from_what_was_said_alone(recipe, only_learned):
    """What was said is given, not learned, and no prompt tells it; the verdict on it is true, and learned."""
    drills, rng = recipe("drills"), random.Random(9)
    examples = [drills.decide(rng) for _ in range(100)]
    for example in examples:
        *two, verdict = re.findall(r"day (\d+) (in the \w+ \([A-D]\))", example.messages[-1].content)
        assert verdict == max(two, key=lambda sighting: int(sighting[0]))
        assert example.given.endswith("Later:")
    only_learned(examples)


def test_two_halves_of_a_chain_end_in_the_right_answer_or_in_a_guess(recipe):
    """The first speaker tells its half and guesses; the second joins both, or defers as often as told to."""
    halves, rng = recipe("halves"), random.Random(6)
    deferred = {True: [], False: []}
    for _ in range(400):
        problem = split_chain.draw(rng, 4)
        first, *rest = halves.talk_chain(rng, problem)
        place, person = problem.choices["ABCD".index(problem.target)], problem.question.split()[-2]
        owners_second = " has " in str(problem.source["opener"])
        assert "I guess" in first.text
        assert (f" So {person} " in first.text) is not owners_second
        joins = " So " in rest[0].text
        deferred[owners_second].append(not joins)
        assert {line.choice for line in rest} == {place if joins else first.choice}
        if joins:
            key, again = re.search(rf" So {person} (\w+), (\w+) {place} ", rest[0].text).groups()
            told = first.text.partition(" So ")[0] + rest[0].text.partition(" So ")[0]
            assert key == again
            assert f"{person} {key}" in told
            assert f"{key} {place} ({problem.target})" in told
    shares = [sum(deferred[owners]) / len(deferred[owners]) for owners in (False, True)]
    assert shares == pytest.approx(halves.CHAIN_DEFERS, abs=0.12)


def test_training_stories_are_of_the_training_split(recipe, monkeypatch):
    """No test skeleton may be trained on, and no test problem of the chains."""
    dialogues = recipe("dialogues")
    seen = []

    def spy(draw):
        def record(*args):
            question = draw(*args)
            seen.append(question.tale.story)
            return question

        return record

    for name in ("draw_question", "draw_split_question"):
        monkeypatch.setattr(dialogues, name, spy(getattr(dialogues, name)))
    rng = random.Random(4)
    stories = dialogues.Lesson(dialogues.MEDIUM, {"alone": 1, "dialogue": 1, "days": 1})
    for _ in range(100):
        dialogues.draw_examples(rng, stories)
    assert len(seen) == 100
    assert {split_of(story) for story in seen} == {"train"}
    assert {generated.split_of(dialogues._chain_problem(rng)) for _ in range(100)} == {"train"}


def test_training_rows_are_what_the_chat_template_makes(recipe, examples, tmp_path):
    """The trainer's shortcut must give the ids of the template, or the model learns another format."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    train, vocabulary = recipe("train"), recipe("vocabulary")
    monkey_words = sorted(
        {w for e in examples for m in e.messages for w in vocabulary.WORD.findall(m.content)}
    )
    vocabulary.write(tmp_path, monkey_words)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for example in examples[:50]:
        chat = [{"role": m.role.value, "content": m.content} for m in example.messages]
        row = train.encode(example, tokenizer.backend_tokenizer)
        assert row.ids == tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
        assert len(row.ids) == len(row.weights)


def test_what_is_looked_up_stands_in_the_list_that_was_just_said(recipe, only_learned):
    """The answer is the one pair of the list that begins with the word asked for, and only it is learned."""
    drills, rng = recipe("drills"), random.Random(7)
    examples = [drills.look_up(rng) for _ in range(100)]
    for example in examples:
        said = example.messages[-1].content
        listed = re.search(r"I know that (.*?)\.", "".join(message.content for message in example.messages))[
            1
        ]
        pair = re.search(r"So (.*)\.", said)[1]
        assert listed.split(", ").count(pair) == 1
        assert example.given.endswith(f"So {pair.split()[0]}")
    only_learned(examples)


def test_what_is_copied_can_be_known(recipe, only_learned):
    """Runs of a list from a word that is given, or its pairs in the order that the question asks for."""
    drills, rng = recipe("drills"), random.Random(10)
    examples = [drills.repeat(rng) for _ in range(100)]
    for example in examples:
        asked, said = (message.content.rstrip(".") for message in example.messages)
        if example.given:
            assert asked.endswith(said)
            assert said.split()[0] == example.given
        else:
            pairs, order = asked.split(". ")
            assert sorted(said.split(", ")) == sorted(pairs.split(", "))
            assert [pair.split()[0] for pair in said.split(", ")] == order.split()
    only_learned(examples)


def test_a_resumed_training_ends_in_the_weights_of_one_that_was_never_stopped(recipe, monkeypatch, tmp_path):
    """Each lesson draws from its own stream, and lesson.pt is the state at a lesson's start."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    train, dialogues, vocabulary = recipe("train"), recipe("dialogues"), recipe("vocabulary")
    monkeypatch.setattr(train, "LESSONS", ((1_000, dialogues.LETTERS),))
    monkeypatch.setattr(train, "CHUNK", 1)
    words = vocabulary.words(50)
    monkeypatch.setattr(vocabulary, "build", lambda path: vocabulary.write(path, words))
    threads = torch.get_num_threads()
    for name, resume in (("whole", None), ("resumed", tmp_path / "whole" / "lesson.pt")):
        if resume:  # with dialogues edited meanwhile, which say other words
            words.append("▁aardvark")
        options = {"tokens": 2_000, "width": 64, "layers": 1, "seed": 0, "resume": resume}
        train.train(Namespace(out=tmp_path / name, **options))
    torch.set_num_threads(threads)
    whole, resumed = (tmp_path / name / "model.safetensors" for name in ("whole", "resumed"))
    assert whole.read_bytes() == resumed.read_bytes()
