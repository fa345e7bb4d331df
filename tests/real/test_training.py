"""From conversations of a real model to a trained one that is served."""

import json
import shutil
from pathlib import Path

import openai
import pytest

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def own_task(tmp_path_factory):
    """A folder for PYTHONPATH, with a package in it that adds the task `lengths`."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "own_task-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-task\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[coral.tasks]\nlengths = own_task:Lengths\n")
    shutil.copy(Path(__file__).with_name("own_task.py"), site)
    return site


@pytest.fixture(scope="module")
def tree(coral, folder, data, own_task, tmp_path_factory):
    """Five candidates per turn, by the engine in the command's own process."""
    run = tmp_path_factory.mktemp("tree") / "run"
    options = {
        "data": data / "gsm8k" / "test.sample.jsonl",
        "limit": 6,
        "samples": 1,
        "max_turns": 2,
        "output": run,
        "extractor.mode": "rules",
        "agent.model": folder,
        "agent.system_prompt": "Be brief.",
        "agent.max_tokens": 32,
        "agent.temperature": 1,
        "agent.stop": '[",", ".", "\\n"]',  # most replies end long before the limit
    }
    coral("sample", "lengths", site=own_task, **options)
    return run


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_two_steps_of_training_and_the_result_is_served(coral, serve, folder, tree, own_task, tmp_path, kind):
    """Rows are built, two LoRA steps are taken, and any OpenAI client talks to the merged checkpoint."""
    rows, trained = tmp_path / "rows", tmp_path / "trained"
    coral("build", str(tree), site=own_task, kind=kind, output=rows, shared="keep")
    coral(
        "train",
        kind,
        model=folder,
        rows=rows,
        output=trained,
        lora="true",
        lora_rank=4,
        max_steps=2,
        batch_size=2,
        device_batch_size=2,
        logging_steps=1,
        device="cpu",
        threads=1,
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
