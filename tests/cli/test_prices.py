"""`coral prices`: what is known of a model's price, and what is not."""

import pytest

from coral.cli import main


def test_all_prices_are_shown_with_date_and_source(capsys):
    """In 80 columns; batches only where `--batch` can use them."""
    assert main(["prices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("openai/gpt-4o "))
    assert row.split() == ["openai/gpt-4o", "2.50", "1.25", "10.00", "1.25", "/", "5.00", "2026-11-29"]
    assert next(line for line in lines if line.startswith("deepseek/")).split()[4] == "-"
    assert any(line.startswith("source: LiteLLM") for line in lines)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("openai/gpt-4.1-nano", ["openai/gpt-4.1-nano"]),
        ("GPT-4.1-NANO", ["openai/gpt-4.1-nano"]),
        ("claude-haiku", ["anthropic/claude-haiku-5-5", "anthropic/claude-haiku-4-5"]),
    ],
)
def test_a_part_of_a_name_is_enough(capsys, word, found):
    """All models that hold it."""
    assert main(["prices", word]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "/" in line.split(" ")[0]]
    assert [row.split()[0] for row in rows] == found


@pytest.mark.parametrize("word", ["gpt-99", "openai/claude-opus-5", "meta-llama/My-Model"])
def test_an_unknown_model_is_said_to_be_unknown(capsys, word):
    """Never 0: exit code 2, and the line to write."""
    assert main(["prices", word]) == 2
    said = capsys.readouterr().err
    assert f"{word} has no price: what it costs is unknown" in said
    assert f"{word}: {{prompt:" in said


def test_the_users_prices_are_shown_beside(capsys, tmp_path):
    """Laid over ours, under the name that a run would look up."""
    path = tmp_path / "prices.yaml"
    path.write_text("mine: {prompt: 0.125, completion: 3, as_of: 2026-01-02, source: my contract}\n")
    assert main(["prices", "vllm/mine", "--prices", str(path)]) == 0
    out = capsys.readouterr().out
    assert "0.125" in out
    assert "2026-01-02" in out
    assert "source: my contract" in out


def test_a_bad_file_is_refused(capsys, tmp_path):
    """With its path, and without a traceback."""
    path = tmp_path / "prices.yaml"
    path.write_text("m: {prompt: cheap, completion: 1}\n")
    assert main(["prices", "--prices", str(path)]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "Traceback" not in said
