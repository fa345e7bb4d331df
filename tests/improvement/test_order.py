"""Which steps the loop takes, with which options: on a executor that only writes them down."""

import importlib.util
from pathlib import Path

import pytest

from coral.api import improve_async
from coral.errors import ConfigError, MissingExtra
from coral.improvement.arms import check_sections
from coral.improvement.config import ImproveConfig, ServeConfig
from coral.improvement.done import Drawn
from coral.improvement.dry_run import DryRun
from coral.improvement.loop import Loop
from coral.improvement.problems import choose, file_of
from coral.improvement.servers import Checkpoint
from coral.options import build_config, merged

OUT = Path("/out")
ENDPOINT = {"kind": "endpoint", "base_url": "http://localhost/v1"}
START = Checkpoint("start", "/model")


class Notes:
    """Writes the steps down. `accepts` says which checkpoints are taken over."""

    def __init__(self, config, accepts=lambda _model: True):
        self._config, self._accepts = config, accepts
        self.runs, self.builds, self.trainings, self.judged = {}, {}, {}, []
        self.learned = {}

    async def evaluate(self, spec):
        self.runs[str(Path(spec.config.output).relative_to(OUT))] = spec

    async def sample(self, spec):
        self.runs[str(Path(spec.config.output).relative_to(OUT))] = spec
        return Drawn(candidates=1000, problems=10)

    async def build(self, config):
        self.builds[Path(config.output).parent.name] = config
        return 77

    async def train(self, config):
        self.trainings[Path(config.output).parent.name] = config

    async def learn(self, config):
        self.learned[Path(config.output).parent.name] = config

    async def judge(self, arm, model, against):
        self.judged.append((model, against))
        return self._accepts(model)

    def choose_problems(self, config, iteration):
        return file_of(self._config, OUT, iteration)


async def taken(accepts=lambda _model: True, **options):
    common = {"task": {"name": "sally_anne"}}
    config = ImproveConfig(**{"common": common, "sample": {"split": "train"}, **options})
    notes = Notes(config, accepts)
    trained = await Loop(config, START, OUT, notes).go_round()
    return notes, trained


async def test_each_iteration_goes_on_from_the_last_model_taken_over():
    """Sampled from, trained from and compared with the best so far; what the gate refuses is left behind."""
    notes, trained = await taken(accepts=lambda model: model != "pair-dpo-2", iterations=3)
    assert notes.judged == [
        ("pair-dpo-1", "start"),
        ("pair-dpo-2", "pair-dpo-1"),
        ("pair-dpo-3", "pair-dpo-1"),
    ]
    assert [one.came_from for one in trained] == ["start", "pair-dpo-1", "pair-dpo-1"]
    assert notes.trainings["pair-dpo-3"].model == "/out/models/pair-dpo-1/train"
    assert notes.runs["samples/pair-3-pair-dpo-1"].agent.path == "/out/models/pair-dpo-1/train"


async def test_what_no_gate_sees_is_measured_first_of_the_start_and_at_the_end_of_every_arm():
    """Its problems are in no rows, and no checkpoint is judged by them: a refused arm has a figure, too."""
    final = {"split": "validation"}
    refused = {"pair-dpo-2", "alone-dpo-1", "alone-dpo-2"}
    notes, _ = await taken(
        lambda model: model not in refused, iterations=2, final=final, controls=("alone-dpo",)
    )
    runs = list(notes.runs)
    assert [name for name in runs if name.endswith("/final")] == [
        "models/start/final",
        "models/pair-dpo-1/final",
        "models/pair-dpo-2/final",
        "models/alone-dpo-2/final",
    ]
    assert runs.index("models/start/final") < runs.index("samples/pair-1-start")
    assert runs[-1] == "models/alone-dpo-2/final"
    assert notes.runs["models/start/final"].config.split == "validation"
    assert all("/out/models/start/final" in build.held_out for build in notes.builds.values())
    without, _ = await taken()
    assert not [name for name in without.runs if name.endswith("/final")]


async def test_what_should_not_be_forgotten_is_sampled_beside_the_target():
    """Each iteration and each arm samples both, with the same model, and rows are made of both runs."""
    notes, _ = await taken(
        lambda model: model == "pair-dpo-1",
        iterations=2,
        controls=("pair-sft", "alone-dpo"),
        rehearsal={"task": {"size": 7}, "samples": 3},
    )
    assert [name for name in notes.runs if name.startswith("samples/")] == [
        f"samples/{run}{part}"
        for run in ("pair-1-start", "pair-2-pair-dpo-1", "pair-2-start", "alone-1-start", "alone-2-start")
        for part in ("", "-rehearsal")
    ]
    assert notes.builds["pair-dpo-2"].runs == [
        "/out/samples/pair-2-pair-dpo-1",
        "/out/samples/pair-2-pair-dpo-1-rehearsal",
    ]
    target, rehearsal = (notes.runs[f"samples/pair-1-start{part}"].config for part in ("", "-rehearsal"))
    assert (target.samples, rehearsal.samples) == (5, 3)
    assert rehearsal.task == {"name": "sally_anne", "size": 7}
    assert rehearsal.agent == target.agent
    stacked, _ = await taken(iterations=2, stack=True, rehearsal={"task": {"size": 7}})
    assert len(stacked.builds["pair-dpo-2"].runs) == 4


@pytest.mark.parametrize(
    ("rehearsal", "said"),
    [
        ({"split": "validation"}, "split 'validation', which is meant"),
        ({"task": {"people": 4}}, "5 of 5 problems to sample are also"),
    ],
)
async def test_a_rehearsal_on_evaluated_problems_is_refused_before_the_first_step(tmp_path, rehearsal, said):
    """As for the target's own conversations."""
    sections = {
        "sample": {"split": "train"},
        "evaluate": {"split": "test"},
        "second": {"split": "train", "task": {"people": 4}},
    }
    with pytest.raises(ConfigError, match=said):
        await rehearsed(tmp_path, **SALLY, **sections, rehearsal=rehearsal)
    await rehearsed(tmp_path, **SALLY, **sections, rehearsal={"task": {"people": 5}})


async def test_a_second_chance_is_for_the_model_alone():
    """A pair takes another turn anyway, so `evaluate.second_chance` reaches the evaluations alone."""
    second = {"task": {"split_information": True}}
    notes, _ = await taken(evaluate={"second_chance": True}, second=second)
    chances = {
        name.split("/")[-1]: spec.config.second_chance
        for name, spec in notes.runs.items()
        if "models" in name
    }
    assert chances == {"pair": False, "alone": True, "second": False}


async def test_iterations_differ_in_the_seed_and_share_the_problems():
    """The same problems are sampled anew: another sampling seed, the same seed of the data."""
    notes, _ = await taken(iterations=2, seed=5)
    seeds = [
        (spec.config.seed, spec.config.data_seed) for name, spec in notes.runs.items() if "samples" in name
    ]
    assert seeds == [(5, 5), (1_000_008, 5)]  # not 6: a repeat of the loop with that seed begins there
    assert {spec.config.seed for name, spec in notes.runs.items() if "models" in name} == {5}


@pytest.mark.parametrize(
    ("options", "model", "reference", "rate", "runs"),
    [
        ({}, "pair-dpo-1", None, 1e-4, ["2-pair-dpo-1"]),  # everything from the last
        ({"stack": True}, "pair-dpo-1", None, 1e-4, ["1-start", "2-pair-dpo-1"]),
        ({"reference": "fixed"}, "pair-dpo-1", "start", 1e-4, ["2-pair-dpo-1"]),
        ({"start_from": "first"}, "start", "pair-dpo-1", 1e-4, ["2-pair-dpo-1"]),
        ({"start_from": "first", "reference": "fixed"}, "start", None, 1e-4, ["2-pair-dpo-1"]),
        ({"lr_multiplier": 0.5}, "pair-dpo-1", None, 5e-5, ["2-pair-dpo-1"]),
    ],
)
async def test_the_second_iteration_trains_what_the_options_say(options, model, reference, rate, runs):
    """Model, reference, learning rate and data of an iteration; no reference means the model itself."""
    paths = {"start": "/model", "pair-dpo-1": "/out/models/pair-dpo-1/train", None: None}
    notes, _ = await taken(iterations=2, train={"learning_rate": 1e-4}, **options)
    training = notes.trainings["pair-dpo-2"]
    assert (training.model, training.reference) == (paths[model], paths[reference])
    assert training.learning_rate == pytest.approx(rate)
    assert notes.builds["pair-dpo-2"].runs == [f"/out/samples/pair-{name}" for name in runs]


async def test_controls_share_what_is_the_same_and_get_the_same_budget():
    """One sampling of the pair serves DPO and SFT; those alone get as many candidates and no more rows."""
    notes, trained = await taken(controls=("alone-sft", "alone-dpo", "pair-sft"))
    assert [one.arm for one in trained] == ["pair-dpo", "pair-sft", "alone-sft", "alone-dpo"]
    assert [name for name in notes.runs if "samples" in name] == [
        "samples/pair-1-start",
        "samples/alone-1-start",
    ]
    alone = notes.runs["samples/alone-1-start"].config
    assert (alone.protocol, alone.samples, alone.candidates) == ("cot", 20, 5)  # 100 candidates a problem
    assert notes.builds["alone-dpo-1"].max_rows == notes.builds["alone-sft-1"].max_rows == 77
    assert notes.builds["pair-sft-1"].max_rows is None
    assert notes.builds["pair-sft-1"].kind == notes.trainings["pair-sft-1"].kind == "sft"


async def test_without_an_arm_of_its_kind_the_main_arm_sets_the_budget():
    """A control gets no more rows than the arm that it is to be compared with."""
    notes, _ = await taken(controls=("alone-sft",))
    assert notes.builds["alone-sft-1"].max_rows == 77


async def test_no_row_may_come_from_an_evaluation():
    """Each build is told the evaluations' problems, beside those that its options name."""
    notes, _ = await taken(second={"task": {"orders": [0]}}, build={"held_out": ["validation"]})
    held_out = notes.builds["pair-dpo-1"].held_out
    evaluations = [f"/out/models/start/{sight}" for sight in ("pair", "alone", "second")]
    assert held_out == ["validation", *evaluations]


async def test_the_model_alone_has_no_opener():
    """Who states the problem is for the pair: the model alone is evaluated and sampled all the same."""
    common = {"task": {"name": "sally_anne"}, "opener": "partner"}
    notes, _ = await taken(common=common, seat="one", controls=("alone-dpo",))
    openers = {name: spec.config.opener for name, spec in notes.runs.items()}
    assert openers["models/start/pair"] == openers["samples/pair-1-start"] == "partner"
    assert openers["models/start/alone"] == openers["samples/alone-1-start"] == "agent"


async def test_one_seat_is_trained_against_the_starting_model():
    """The partner is the start, in sampling and evaluation; only the agent's turns become rows."""
    notes, _ = await taken(seat="one", iterations=2, controls=("alone-dpo",))
    spec = notes.runs["models/pair-dpo-2/pair"]
    assert (spec.agent.name, spec.partner) == ("pair-dpo-2", START)
    places = {spec.agent: {"model": "new", "base_url": "u"}, START: {"model": "old", "base_url": "v"}}
    config = spec.at(places)
    assert (config.agent.model, config.partner_config().model) == ("new", "old")
    assert config.partner_config().base_url == "v"
    assert notes.runs["models/pair-dpo-2/alone"].partner is None
    assert notes.builds["pair-dpo-2"].speaker == "agent"
    assert notes.builds["alone-dpo-2"].speaker == "both"


async def test_a_partner_of_its_own_is_left_where_it_is():
    """A named partner is served by whoever serves it."""
    notes, _ = await taken(seat="one", partner={"model": "openai/gpt", "temperature": 0.5})
    spec = notes.runs["models/pair-dpo-1/pair"]
    assert spec.partner is None
    assert spec.config.partner_config().model == "openai/gpt"


def test_even_parts_are_disjoint_and_complete_and_random_ones_have_their_share():
    """Every problem in exactly one part; draws of the size asked for, another in each iteration."""
    ids = [f"p{number}" for number in range(101)]
    even = ImproveConfig(split="even", iterations=3)
    parts = [choose(even, ids, iteration) for iteration in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(ids)
    assert [len(part) for part in parts] == [34, 34, 33]
    assert all(part == [name for name in ids if name in part] for part in parts)
    draws = [choose(ImproveConfig(split="random", share=0.3), ids, iteration) for iteration in (1, 2)]
    assert [len(draw) for draw in draws] == [31, 31]
    assert draws[0] != draws[1]
    with pytest.raises(ConfigError, match="do not divide"):
        choose(ImproveConfig(split="even", iterations=5), ids[:2], 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iterations": 0}, "improve.iterations must be at least 1"),
        ({"controls": ("pair-ppo",)}, "no arm 'pair-ppo'"),
        ({"lr_multiplier": 0.5, "iterations": 2}, "needs a learning rate"),
        ({"partner": {"model": "x"}}, "seat is both"),
        ({"serve": {"kind": "command"}}, "there is none"),
        ({"serve": {"kind": "endpoint"}}, "no address"),
        ({"gate": {"target": "best"}}, "gate.target must be one of better, not_worse, higher"),
        ({"sampel": {}}, "no option improve.sampel"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, said):
    """Each message names the option."""
    with pytest.raises(ConfigError, match=said):
        build_config(ImproveConfig, options, "improve")


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("common", {"output": "x"}),
        ("common", {"agent": {"model": "x"}}),
        ("evaluate", {"protocol": "cot"}),
        ("final", {"protocol": "cot"}),
        ("rehearsal", {"agent": {"model": "x"}}),
        ("rehearsal", {"candidates": 2}),
        ("build", {"runs": ["x"]}),
        ("build", {"format": "openai"}),
        ("train", {"model": "x"}),
        ("dpo", {"train": {"rows": "x"}}),
    ],
)
def test_what_the_loop_decides_is_not_for_the_sections(section, options):
    """An option that would be overwritten in silence is refused."""
    with pytest.raises(ConfigError, match="decided by the loop"):
        check_sections(ImproveConfig(**{section: options}))


def test_a_loop_without_a_task_says_where_one_is_named():
    """`coral improve` without anything: the remedy speaks of the config file."""
    with pytest.raises(ConfigError, match="no task given") as error:
        check_sections(ImproveConfig())
    assert "--config" in error.value.remedy


def test_one_candidate_a_turn_is_no_data_for_pairs():
    """Said before a day of sampling, not after."""
    with pytest.raises(ConfigError, match="pair-dpo learns from pairs"):
        check_sections(ImproveConfig(sample={"candidates": 1}))


def test_sections_are_merged_and_the_later_wins():
    """Mappings inside are merged, too; nothing that goes in is changed."""
    common = {"task": {"name": "a", "size": 1}, "agent": {"max_tokens": 5}}
    assert merged(common, {"task": {"size": 2}, "limit": 3}) == {
        "task": {"name": "a", "size": 2},
        "agent": {"max_tokens": 5},
        "limit": 3,
    }
    assert common["task"]["size"] == 1


def rehearsed(out, **options):
    config = build_config(ImproveConfig, options, "improve")
    start = Checkpoint("start", "/model")
    return Loop(config, start, out, DryRun(config, out, lambda _step, _options: None)).go_round()


SALLY = {"common": {"task": {"name": "sally_anne", "size": 5}}, "serve": ENDPOINT}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample": {"split": "test"}, "evaluate": {"split": "validation"}}, "split 'test', which is meant"),
        (
            {"sample": {"split": "train"}, "evaluate": {"split": "train"}},
            "5 of 5 problems to sample are also",
        ),
        (
            {"sample": {"split": "train"}, "evaluate": {"split": "test"}, "second": {"split": "train"}},
            "5 of 5",
        ),
    ],
)
async def test_training_on_evaluated_problems_is_refused_before_the_first_step(tmp_path, options, said):
    """The build would stop at them: after the evaluations and the sampling were paid for."""
    with pytest.raises(ConfigError, match=said):
        await rehearsed(tmp_path, **SALLY, **options)
    await rehearsed(tmp_path, **SALLY, **options, build={"shared": "keep"})


@pytest.mark.parametrize(
    ("final", "said"),
    [
        ({"split": "test"}, "5 of the 5 problems of final are also seen by the gate"),
        ({"split": "validation"}, "5 of the 5"),  # those of the second task
        ({"split": "train"}, "5 of 5 problems to sample are also"),  # nor may any be trained on
    ],
)
async def test_problems_that_no_gate_sees_are_neither_seen_nor_trained_on(tmp_path, final, said):
    """Refused before the first step: a final figure on them would be a little too good, unnoticed."""
    sections = {
        "sample": {"split": "train"},
        "evaluate": {"split": "test"},
        "second": {"split": "validation"},
    }
    with pytest.raises(ConfigError, match=said):
        await rehearsed(tmp_path, **SALLY, **sections, final=final)
    await rehearsed(tmp_path, **SALLY, **sections, final={"split": "test", "data_seed": 7})


async def test_a_dry_run_says_what_so_many_problems_can_show(tmp_path):
    """Before anything is paid for: five problems show next to nothing."""
    config = build_config(ImproveConfig, {**SALLY, "sample": {"split": "train"}}, "improve")
    told = {}
    await Loop(
        config, Checkpoint("start", "/model"), tmp_path, DryRun(config, tmp_path, told.__setitem__)
    ).go_round()
    assert "76.6 points in 8 of 10 cases" in str(told["what 5 problems show (pair)"])


async def test_disjoint_problems_pass(tmp_path):
    """What the build takes passes here, too, for each split of the problems over iterations."""
    for split in ("all", "even", "random"):
        await rehearsed(
            tmp_path,
            **SALLY,
            sample={"split": "train"},
            evaluate={"split": "test"},
            split=split,
            iterations=2,
        )


async def test_missing_training_libraries_stop_a_loop_before_its_first_step(options, tmp_path, monkeypatch):
    """They would be missed only after sampling. A launcher of its own may bring its own."""
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "trl" else find(name))
    del options["launch"]
    with pytest.raises(MissingExtra, match="trl"):
        await improve_async(options)
    assert not (tmp_path / "out" / "models").exists()


async def test_an_arm_of_grpo_neither_samples_nor_builds():
    """It holds its conversations while it trains, about the problems that the others sample, on from the best
    model so far; alone in one turn, in a pair with itself, or beside a frozen partner.
    """
    options = {
        "build": {"kind": "grpo"},
        "controls": ("alone-grpo",),
        "iterations": 2,
        "split": "even",
        "train": {"threads": 1, "learning_rate": 1.0},
        "grpo": {"max_steps": 7, "learning_rate": 1e-4, "rollout": {"max_turns": 4}},
        "lr_multiplier": 0.5,
    }
    notes, trained = await taken(**options)
    assert [one.checkpoint.name for one in trained] == [
        "pair-grpo-1",
        "pair-grpo-2",
        "alone-grpo-1",
        "alone-grpo-2",
    ]
    assert not notes.builds
    assert not any(name.startswith("samples") for name in notes.runs)
    first, second = notes.learned["pair-grpo-1"], notes.learned["pair-grpo-2"]
    assert (first.model, second.model) == ("/model", "/out/models/pair-grpo-1/train")
    assert (first.threads, first.learning_rate, second.learning_rate) == (1, 1e-4, 5e-5)
    assert first.seed != second.seed
    rollout = first.eval_config()
    assert (rollout.protocol, rollout.split, rollout.max_turns) == ("coral", "train", 4)
    assert rollout.problems != second.eval_config().problems
    assert first.partner_is_policy
    assert notes.learned["alone-grpo-1"].eval_config().protocol == "cot"
    one, _ = await taken(**{**options, "seat": "one", "controls": ()})
    assert one.learned["pair-grpo-2"].rollout["partner"] == {"model": "/model"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grpo": {}}, "no max_steps"),
        ({"grpo": {"max_steps": 1, "model": "m"}}, "grpo.model is decided by the loop"),
        ({"seat": "one", "serve": ENDPOINT}, "nobody serves"),
        ({"sample": {"split": "train", "data_password": "secret"}}, "no password is written"),
    ],
)
async def test_what_an_arm_of_grpo_cannot_use(changes, words):
    """Said before anything is done: by the checks, or by the rehearsed loop."""
    options = {"build": {"kind": "grpo"}, "grpo": {"max_steps": 1}, **changes}
    if "serve" in options:
        options["serve"] = build_config(ServeConfig, options["serve"], "serve")

    async def rehearse():
        check_sections(ImproveConfig(common={"task": {"name": "sally_anne"}}, **options))
        await taken(**options)

    with pytest.raises(ConfigError, match=words):
        await rehearse()


async def test_every_run_of_the_loop_shares_the_cache():
    """`common.cache` is that of all evaluations and samplings; weights tell checkpoints' replies apart."""
    notes, _ = await taken(
        common={"task": {"name": "sally_anne"}, "cache": "/cache"}, controls=("alone-dpo",)
    )
    assert len(notes.runs) > 3
    for spec in notes.runs.values():
        place = {"model": "m", "base_url": "http://localhost/v1", "revision": "abc"}
        config = spec.at(dict.fromkeys(spec.checkpoints, place))
        assert config.cache == "/cache"
        assert config.agent.revision == "abc"
        assert config.extractor_config().revision == "abc"
