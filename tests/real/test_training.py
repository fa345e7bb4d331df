"""From conversations of a real model to a trained one that is served."""

import json

import openai
import pytest

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tree(coral, folder, tmp_path_factory):
    """Five candidates a turn about generated stories, by the engine in the command's own process."""
    run = tmp_path_factory.mktemp("tree") / "run"
    coral(
        "sample",
        "sally_anne",
        limit=10,
        samples=1,
        max_turns=2,
        output=run,
        **{"agent.model": folder, "agent.max_tokens": 40, "agent.temperature": 0.8},
    )
    return run


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_two_steps_of_training_and_the_result_is_served(coral, serve, folder, tree, tmp_path, kind):
    """Rows are built, two LoRA steps are taken, and any OpenAI client talks to the merged checkpoint."""
    rows, trained = tmp_path / "rows", tmp_path / "trained"
    coral("build", str(tree), kind=kind, output=rows, shared="keep")
    coral(
        "train",
        kind,
        model=folder,
        rows=rows,
        output=trained,
        lora="true",
        lora_rank=4,
        max_steps=2,
        batch_size=4,
        device_batch_size=4,
        device="cpu",
    )
    history = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history if "loss" in line] == [1, 2]
    with serve(trained) as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        reply = client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": "Name a colour."}],
            n=2,
            max_tokens=12,
            seed=1,
        )
        assert all(choice.message.content for choice in reply.choices)
        assert server.tokens() == {
            "prompt_tokens": reply.usage.prompt_tokens,
            "completion_tokens": reply.usage.completion_tokens,
        }
