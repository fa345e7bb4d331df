"""The price table."""

from __future__ import annotations

import math

import pytest

from coral.errors import ConfigError
from coral.metrics import Price, PriceTable, load_prices
from coral.metrics.cost import NO_TOKENS, Tokens
from coral.models.providers import PROVIDERS


def test_shipped_prices_are_read():
    """Every entry is dated, names its source, and is of a provider; reading is never dearer than writing, and
    a cached token never than another.
    """
    table = load_prices()
    assert table.price("openai/gpt-4o").figures == (2.5, 10.0, 1.25)
    for name, price in table.prices.items():
        assert price.as_of is not None, name
        assert price.source, name
        assert price.prompt <= price.completion, name
        assert price.cached is None or price.cached <= price.prompt, name
        assert PROVIDERS[name.partition("/")[0]].name, name


def test_every_provider_that_sells_at_one_price_is_in_the_table():
    """OpenRouter, Hugging Face and NVIDIA pass on what others ask."""
    listed = {name.partition("/")[0] for name in load_prices().prices}
    sold = {row.name for row in PROVIDERS.values() if not row.local}
    assert sold - listed == {"openrouter", "huggingface", "nvidia"}


def test_cached_tokens_have_their_own_price():
    """1000 prompt tokens, 400 of them cached; 100 written: 600 * 2.5 + 400 * 1.25 + 100 * 10 USD per M."""
    price = load_prices().price("openai/gpt-4o")
    assert price.of(Tokens(1000, 400, 100)) == pytest.approx((1500 + 500 + 1000) / 1e6)
    assert Price(prompt=2, completion=1).of(Tokens(1000, 400, 0)) == pytest.approx(2000 / 1e6)


@pytest.mark.parametrize(
    ("model", "found", "why"),
    [
        ("openai/gpt-4o", True, "as written"),
        ("gpt-4o", True, "without its provider, and only one provider sells it"),
        ("alike", True, "two providers, one price"),
        ("mine", True, "a name without provider"),
        ("vllm/mine", True, "the user priced the model, wherever it runs"),
        ("vllm/gpt-4o", False, "another provider's price is not this one's"),
        ("both", False, "two providers, two prices"),
        ("gpt-4", False, "a prefix is another model"),
        ("", False, "no name"),
    ],
)
def test_finding_a_price(model, found, why):
    """A price is found by name or not at all."""
    price, other = Price(prompt=1, completion=1), Price(prompt=1, completion=1, cached=0.5)
    priced = dict.fromkeys(("openai/gpt-4o", "mine", "a/both", "a/alike"), price)
    table = PriceTable({**priced, "b/both": other, "b/alike": Price(prompt=1, completion=1, source="b")})
    assert (table.price(model) is not None) == found, why


def test_unknown_is_not_free():
    """An unknown price or token count makes the cost unknown; no tokens cost nothing."""
    table = PriceTable({"m": Price(prompt=1, completion=1)})
    assert math.isnan(table.cost("other", Tokens(1, 0, 1)))
    assert math.isnan(table.cost(None, Tokens(1, 0, 1)))
    assert math.isnan(table.cost("m", Tokens(math.nan, math.nan, math.nan)))
    assert table.cost(None, NO_TOKENS) == 0.0


def test_a_users_table_lies_over_the_shipped_one(tmp_path):
    """New models are added, known ones replaced, the rest kept."""
    path = tmp_path / "prices.yaml"
    path.write_text("my/model: {prompt: 0, completion: 0}\nopenai/gpt-4o: {prompt: 1, completion: 2}\n")
    table = load_prices(str(path))
    assert table.price("my/model").of(Tokens(10, 0, 10)) == 0.0
    assert table.price("openai/gpt-4o").prompt == 1
    assert table.price("openai/gpt-4o-mini") is not None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("m: {prompt: 1}", "no completion price"),
        ("m: {prompt: 1, completion: 2, output: 3}", "an unknown field"),
        ("m: {prompt: -1, completion: 2}", "negative"),
        ("m: {prompt: .inf, completion: 2}", "infinite"),
        ("m: {prompt: .nan, completion: 2}", "not a number"),
        ("m: 3", "no mapping"),
        ("- m", "a list"),
        ("m: {prompt: 1", "broken YAML"),
        ("m: \x1b[2J", "control characters"),
        ("m: " + "[" * 3000, "nested too deep"),
        ("m: {prompt: 1, completion: 2, as_of: soon}", "no date"),
        ("m: {prompt: 1, completion: 2, source: 3}", "no text"),
        ("m: {prompt: '$1', completion: 2}", "a price with its currency"),
        ("m: {prompt: null, completion: 2}", "nothing"),
        ("m: {<<: *gone, prompt: 1, completion: 2}", "an alias of nothing"),
        ("3: {prompt: 1, completion: 2}", "a number for a name"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, why):
    """A price that cannot be meant is an error that shows the form."""
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_prices(path)
    assert str(path) in str(caught.value), why
    assert "prompt" in caught.value.remedy


def test_a_missing_table_is_refused(tmp_path):
    """The file's path is in the message."""
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_prices(tmp_path / "none.yaml")


def test_an_empty_table_adds_nothing(tmp_path):
    """An empty file is a table without entries."""
    path = tmp_path / "prices.yaml"
    path.write_text("# nothing yet\n")
    assert load_prices(path) == load_prices()
