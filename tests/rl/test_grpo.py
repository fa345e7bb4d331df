"""TRL's trainer over conversations: what is trained, compared and kept. Its libraries load for seconds."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

import coral
from coral.cli import grpo as command
from coral.errors import ConfigError, UserError
from coral.evaluation.plan import open_plan
from coral.rl.config import GrpoConfig
from coral.rl.rollout import Group, plan_groups
from coral.rl.train import train_grpo
from coral.rl.trainer import build_trainer, plan_steps
from coral.training.checkpoints import last_checkpoint
from coral.training.encode import load_encoder
from coral.training.libraries import quiet_libraries

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

TINY = str(Path(coral.__file__).parent / "assets" / "tiny")
QUICK = {
    "model": TINY, "device": "cpu", "threads": 1, "max_steps": 2, "group_size": 2, "batch_size": 4,
    "device_batch_size": 4, "logging_steps": 1, "learning_rate": 1e-3,
    "rollout": {"task": {"name": "sally_anne", "size": 8}, "split": "train", "max_turns": 3,
                "agent": {"max_tokens": 24}},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other cost a model of this size a thousand times its arithmetic."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# By hand ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A model of letters that sees no other position: its attention gives nothing, and gets no gradient."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("letters")
    vocabulary = {f"<{number}>" if number < 32 else chr(number): number for number in range(128)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<4>")),
        eos_token="<1>",
        pad_token="<0>",
        unk_token="<4>",
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=128,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=128,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.v_proj.weight.zero_()
            layer.self_attn.o_proj.weight.zero_()
    model.save_pretrained(folder)
    return folder


class Prepared:
    """Conversations that were held before, in place of `Rollouts`."""

    def __init__(self, conversations, values):
        self._held = (conversations, values)

    def hold(self, step, groups, model):
        return [self._held for _ in groups]

    def forget_before(self, step):
        """Nothing is kept."""


@pytest.fixture
def step(letters, tmp_path):
    """The inputs and gradients of one step on prepared conversations, for both seats."""

    def take(conversations, values):
        size = len(conversations)
        sizes = {"group_size": size, "batch_size": 2 * size, "device_batch_size": 2 * size}
        paths = {"model": str(letters), "output": str(tmp_path / "out")}
        config = GrpoConfig(**{**QUICK, **sizes, **paths, "seats": "both"})
        group = Group(conversations[0].problem, ("responder", "opener"))
        encoder = load_encoder(str(letters), None)
        with quiet_libraries():
            trainer = build_trainer(
                config,
                plan_steps(config),
                [group] * 2,
                encoder,
                Prepared(conversations, values),
                folder=tmp_path / "c",
            )
            trainer.model.train()
            trainer.current_gradient_accumulation_steps = 1
            torch.manual_seed(0)
            inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
            trainer.compute_loss(trainer.model, inputs).backward()
        gradients = {name: one.grad.clone() for name, one in trainer.model.named_parameters()}
        return inputs, gradients

    return take


def other_words(conversation, seat, words):
    """The conversation where a seat's words read otherwise to the others: as long as they were."""
    turns = []
    for turn in conversation.turns:
        ids = list(turn.prompt_token_ids)
        for earlier in conversation.turns[: conversation.turns.index(turn)]:
            if earlier.seat == seat != turn.seat:
                own = list(earlier.reply.token_ids[:-1])
                at = next(i for i in range(len(ids)) if ids[i : i + len(own)] == own)
                ids[at : at + len(own)] = [ord(words)] * len(own)
        turns.append(msgspec.structs.replace(turn, prompt_token_ids=tuple(ids)))
    return msgspec.structs.replace(conversation, turns=tuple(turns))


def test_the_partners_tokens_change_no_gradient(talk, step):
    """To a model that sees one position at a time, the gradient is the same whatever the partner says in the
    seat's view; not so where the seat's own words are others.
    """
    said = (("is it A", "A"), ("no B", "B"), ("yes A", "A"))
    conversations = [talk(*said), talk(("it is B", "B"), ("so it is", "B"), ("good", "B"), number=1)]
    values = [{"responder": 1.0}, {"responder": 0.0}]  # the opener's rewards are not known
    _, before = step(conversations, values)
    _, same = step([other_words(one, "opener", "z") for one in conversations], values)
    _, other = step([talk(("is it C", "A"), *said[1:]), conversations[1]], values)
    assert any(gradient.abs().max() > 0 for gradient in before.values())
    assert all(torch.equal(before[name], same[name]) for name in before)
    assert not all(torch.equal(before[name], other[name]) for name in before)


def test_advantages_compare_a_seat_with_itself(talk, step):
    """The responders' rewards differ and the openers' do not: nothing is learned of the openers, although
    their rewards are lower than all responders'.
    """
    said = (("is it A", "A"), ("no B", "B"))
    conversations = [talk(*said, number=number) for number in range(4)]
    values = [{"responder": 2.0 + number % 2, "opener": 1.0} for number in range(4)]
    inputs, _ = step(conversations, values)
    ends = inputs["prompt_ids"][:, -12:]
    opener = (ends == ord("i")).any(dim=1)  # only the opener's first view holds what the responder said
    advantages = inputs["advantages"]
    assert opener.sum() == 4
    assert advantages[opener].tolist() == [0.0] * 4
    assert sorted(round(value, 2) for value in advantages[~opener].tolist()) == [-0.87, -0.87, 0.87, 0.87]


def test_a_seat_that_never_spoke_and_an_unknown_reward_teach_nothing(talk, step):
    """Of TRL 1.16, an empty completion raises: such a row holds one token that is masked, and no reward."""
    conversations = [talk(("it is A", "A"), number=0), talk(("it is B", "B"), ("so", "B"), number=1)]
    inputs, gradients = step(conversations, [{}, {"responder": 1.0, "opener": 1.0}])
    trained = (inputs["tool_mask"] * inputs["completion_mask"]).sum(dim=1)
    assert sorted(trained.tolist()) == [0, 3, 8, 8]
    assert inputs["advantages"].tolist() == [0.0] * 4
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


# Whole trainings --------------------------------------------------------------------------------------------


def test_a_training_leaves_a_checkpoint_that_the_engine_runs(tmp_path, capsys):
    """Sampled by the engine between two steps; both seats trained; finished once, and shown with its mask."""
    options = {**QUICK, "output": str(tmp_path / "out"), "seats": "both"}
    path = tmp_path / "grpo.json"
    path.write_text(json.dumps(options))
    assert command.run(["--config", str(path.rename(tmp_path / "grpo.yaml"))]) == 0
    printed = capsys.readouterr().out
    assert "[[I have read it. I am not sure yet.<|end|>]]" in printed
    assert "sampled by the embedded engine" in printed
    history = [json.loads(line) for line in (tmp_path / "out" / "history.jsonl").read_text().splitlines()]
    assert {"reward", "agreement", "trained_share", "completions/mean_length"} <= history[0].keys()
    assert history[0]["trained_share"] > 0.9
    assert command.run(["--config", str(tmp_path / "grpo.yaml")]) == 0
    assert "is finished: 2 steps" in capsys.readouterr().out
    run = coral.evaluate(
        task={"name": "sally_anne", "size": 2}, agent={"model": str(tmp_path / "out"), "max_tokens": 24},
        output=str(tmp_path / "run"),
    )  # fmt: skip
    assert run.finished == 2
    with pytest.raises(UserError, match="other options"):
        train_grpo(GrpoConfig(**{**options, "learning_rate": 1e-5}))


def test_transformers_samples_what_the_engine_cannot(tmp_path):
    """Any model: ids and log probabilities come from transformers, and a frozen partner from elsewhere."""
    rollout = {**QUICK["rollout"], "partner": {"model": "tiny"}}
    options = {**QUICK, "rollout": rollout, "generate": "transformers", "max_steps": 1, "keep_rollouts": True}
    result = coral.train("grpo", output=tmp_path / "out", **options)
    assert result.training is not None
    lines = (tmp_path / "out" / "rollouts" / "step-000000.jsonl").read_text().splitlines()
    speakers = {name["name"]: name["model"] for name in json.loads(lines[0])["speakers"].values()}
    assert speakers["partner"] == "tiny (embedded)"
    assert result.training.rows.trained == 4


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    """`kill -9` after a checkpoint: the same command takes the remaining steps, and ends with the same
    weights as a training that nobody killed.
    """
    from safetensors.torch import load_file

    options = {**QUICK, "max_steps": 3, "save_steps": 1}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_grpo(GrpoConfig(**options, output=str(whole)))
    path = tmp_path / "grpo.yaml"
    path.write_text(json.dumps({**options, "output": str(killed)}))
    process = subprocess.Popen([sys.executable, "-m", "coral", "train", "grpo", "--config", str(path)])
    while last_checkpoint(killed / "checkpoints") is None and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "train.json").exists()
    result = train_grpo(GrpoConfig(**options, output=str(killed)))
    assert result.training.resumed_from >= 1
    one, other = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


def one_known(conversation, seat):
    """A user's reward that is known of one conversation."""
    return 1.0 if conversation.id.endswith("#3") else None


def test_a_problem_that_comes_up_again_in_a_step_is_talked_about_anew(tmp_path):
    """With fewer problems than groups no conversation is held twice. One known reward has no deviation, which
    a log line leaves out.
    """
    rollout = {**QUICK["rollout"], "limit": 1}
    options = {**QUICK, "rollout": rollout, "max_steps": 1, "reward": f"{__name__}:one_known"}
    coral.train("grpo", output=tmp_path / "out", keep_rollouts=True, **options)
    lines = (tmp_path / "out" / "rollouts" / "step-000000.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["id"].rpartition("#")[2] for line in lines) == ["0", "1", "2", "3"]


def test_a_step_that_came_to_nothing_is_not_kept(tmp_path):
    """All conversations failed: said with the cause, and the next session holds them anew."""
    model = Path(shutil.copytree(TINY, tmp_path / "short"))
    settings = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 32}))
    with pytest.raises(UserError, match="all 4 conversations of a step failed") as refused:
        train_grpo(GrpoConfig(**{**QUICK, "model": str(model), "output": str(tmp_path / "out")}))
    assert "same command again" in refused.value.remedy
    assert not list((tmp_path / "out").glob("rollouts/*"))


# Options ----------------------------------------------------------------------------------------------------

REFUSED = {
    "no steps": ({"max_steps": None}, "no max_steps"),
    "a group of one": ({"group_size": 1}, "group_size must be at least 2"),
    "a broken batch": ({"batch_size": 5}, "not a whole number of groups"),
    "half a batch for both seats": ({"batch_size": 6, "seats": "both"}, "each for both seats"),
    "no exploration": (
        {"rollout": {"task": "sally_anne", "agent": {"temperature": 0.0}}},
        "temperature is 0.0",
    ),
    "a cut distribution": ({"rollout": {"task": "sally_anne", "agent": {"top_p": 0.9}}}, "top_p"),
    "a cut in words of a server": (
        {"rollout": {"task": "sally_anne", "agent": {"extra_body": {"min_p": 0.1}}}},
        "rollout.agent changes the distribution .min_p",
    ),
    "a partner's temperature": (
        {"rollout": {"task": "sally_anne", "partner": {"temperature": 0.2}}},
        "rollout.partner.temperature is 0.2, and rollout.agent.temperature is 1.0",
    ),
    "a partner's cut": (
        {"rollout": {"task": "sally_anne", "partner": {"top_p": 0.9}}},
        "rollout.partner changes the distribution .top_p",
    ),
    "a first agent's temperature": (
        {"rollout": {"task": "sally_anne", "agents": [{"temperature": 0.2}, {"model": "m"}]}},
        r"rollout.agents\[0\].temperature is 0.2",
    ),
    "another first agent": (
        {"rollout": {"task": "sally_anne", "agents": [{"model": "m"}, {}]}},
        r"rollout.agents\[0\].model is m",
    ),
    "another model": ({"rollout": {"task": "sally_anne", "agent": {"model": "m"}}}, "rollout.agent.model"),
    "a served policy": (
        {"rollout": {"task": "sally_anne", "agent": {"base_url": "http://h/v1"}}},
        "names a server",
    ),
    "an unknown reward": ({"reward": "fun"}, "no reward 'fun'"),
    "no task": ({"rollout": {}}, "no task"),
    "a limit on cost": (
        {"rollout": {"task": "sally_anne", "max_cost": 1.0}},
        "rollout.max_cost says nothing",
    ),
    "samples": ({"rollout": {"task": "sally_anne", "samples": 2}}, "rollout.samples says nothing"),
    "probes": ({"rollout": {"task": "sally_anne", "probe": True}}, "rollout.probe says nothing"),
    "an adapter's rank": ({"lora_rank": 4}, "no adapter is trained"),
}


def test_a_partner_that_is_not_trained_samples_as_it_likes():
    """Only what the loss is computed on has to be drawn as the loss takes it to be."""
    partner = {"model": "openai/gpt-4o-mini", "temperature": 0.2, "top_p": 0.9}
    GrpoConfig(**{**QUICK, "output": "out", "rollout": {**QUICK["rollout"], "partner": partner}})


@pytest.mark.parametrize("kind", REFUSED)
def test_options_that_cannot_be_used(kind):
    """Each is refused before anything is loaded, by name."""
    changes, words = REFUSED[kind]
    options = {**QUICK, "output": "out", **changes}
    if isinstance(options["rollout"].get("task"), str):
        options["rollout"] = {**options["rollout"], "task": {"name": options["rollout"]["task"]}}
    with pytest.raises(ConfigError, match=words):
        GrpoConfig(**options)


def test_the_function_says_what_each_kind_trains_on():
    """Rows or conversations: the other one is refused by name, and so is a running event loop, in which no
    conversation could be held.
    """
    with pytest.raises(ConfigError, match="grpo trains on conversations") as refused:
        coral.train("grpo", model=TINY, output="out", rows="rows")
    assert "rollout" in refused.value.remedy
    with pytest.raises(ConfigError, match="sft trains on rows"):
        coral.train("sft", model=TINY, output="out", rollout={"task": "sally_anne"})
    with pytest.raises(ConfigError, match="no task"):
        coral.train("grpo", model=TINY, output="out", max_steps=1)

    async def in_a_notebook():
        coral.train("grpo", output="out", **QUICK)

    with pytest.raises(ConfigError, match="event loop") as refused:
        asyncio.run(in_a_notebook())
    assert "to_thread" in refused.value.remedy


@pytest.mark.parametrize(
    ("changes", "rollout", "expected"),
    [
        ({}, {}, [("responder",), ("opener",), ("responder",), ("opener",)]),
        ({"seats": "both"}, {}, [("responder", "opener")] * 2),
        ({}, {"partner": {"model": "openai/gpt-4o-mini"}}, [("opener",)] * 4),
        ({}, {"partner": {"control": "wrong"}}, [("opener",)] * 4),
        ({}, {"partner": {"model": "openai/gpt-4o-mini"}, "opener": "partner"}, [("responder",)] * 4),
        ({"seats": "both"}, {"partner": {"model": "openai/gpt-4o-mini"}}, [("opener",)] * 4),
        ({}, {"protocol": "cot", "max_turns": 1}, [("responder",)] * 4),
    ],
)
def test_which_seats_are_trained(changes, rollout, expected):
    """The policy's own: in turn, or both; beside a partner that stays as it is, the other one alone. Every
    problem comes up once before any comes up again.
    """
    config = GrpoConfig(**{**QUICK, "output": "out", **changes, "rollout": {**QUICK["rollout"], **rollout}})
    with open_plan(config.eval_config()) as plan:
        groups = plan_groups(config, plan)
    assert [group.seats for group in groups] == expected
    assert len({group.problem.id for group in groups}) == len(groups)
