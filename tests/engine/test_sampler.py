"""Drawing tokens."""

import math

import numpy as np
import pytest

from coral.engine.sampler import Draw, Settings, make_key, sample, uniforms

PROBABILITIES = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])
LOGITS = np.log(PROBABILITIES).astype(np.float32)
MANY = 20_000


def _draw(settings: Settings, count: int = MANY, logits: np.ndarray = LOGITS) -> np.ndarray:
    draws = [Draw(settings, make_key(seed, 0), 0) for seed in range(count)]
    return np.array(sample(np.tile(logits, (count, 1)), draws)[0])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), PROBABILITIES),
        (Settings(temperature=0.5), PROBABILITIES**2 / (PROBABILITIES**2).sum()),
        (Settings(temperature=2.0), PROBABILITIES**0.5 / (PROBABILITIES**0.5).sum()),
        (Settings(top_p=0.7), [2 / 3, 1 / 3, 0, 0, 0]),
        (Settings(top_p=0.75), [2 / 3, 1 / 3, 0, 0, 0]),
        (Settings(top_p=0.01), [1, 0, 0, 0, 0]),
        (Settings(top_p=0.9), [0.5, 0.25, 0.125, 0.0625, 0.0625]),
        (Settings(top_k=2), [2 / 3, 1 / 3, 0, 0, 0]),
        (Settings(top_k=99), PROBABILITIES),
        (Settings(temperature=0), [1, 0, 0, 0, 0]),
    ],
    ids=[
        "as the model says",
        "colder",
        "hotter",
        "the nucleus is the fewest tokens with that mass",
        "a mass that is met exactly",
        "the likeliest always stays",
        "equally likely tokens stay together",
        "top k",
        "more than there are",
        "greedy",
    ],
)
def test_tokens_are_drawn_with_their_probability(settings, expected):
    """Over 20,000 seeds, shares lie within four standard errors of what the settings mean."""
    shares = np.bincount(_draw(settings), minlength=5) / MANY
    for share, probability in zip(shares, expected, strict=True):
        assert abs(share - probability) <= 4 * math.sqrt(probability * (1 - probability) / MANY)


def test_a_large_vocabulary_is_drawn_evenly():
    """The search by spans of 64 tokens finds every token, the last incomplete span included."""
    shares = np.bincount(_draw(Settings(), logits=np.zeros(150, np.float32)), minlength=150) / MANY
    assert len(shares) == 150
    assert np.abs(shares - 1 / 150).max() < 5 * math.sqrt(1 / 150 / MANY)


def test_impossible_tokens_are_never_drawn():
    """A logit of minus infinity has probability 0, at the end of the vocabulary, too."""
    logits = np.full(70, -np.inf, np.float32)
    logits[3] = logits[66] = 0.0
    assert set(_draw(Settings(), 2000, logits)) == {3, 66}


def test_a_draw_depends_on_seed_candidate_and_position_alone():
    """A row gives the same token in any company; another seed, candidate or position another number."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((64, 500)).astype(np.float32)
    draws = [Draw(Settings(), make_key(seed, 0), 3) for seed in range(64)]
    together = sample(logits, draws)[0]
    assert together == [sample(logits[row : row + 1], [draws[row]])[0][0] for row in range(64)]
    keys = {make_key(seed, candidate) for seed in range(-20, 20) for candidate in range(20)}
    assert len(keys) == 800
    numbers = {uniforms([Draw(Settings(), key, position)])[0] for key in keys for position in range(3)}
    assert len(numbers) == 2400
    assert 0 <= min(numbers) < 0.01
    assert 0.99 < max(numbers) < 1


def test_settings_are_each_rows_own():
    """Greedy, cut and free rows stand side by side in one batch."""
    mixed = [Settings(temperature=0), Settings(top_k=1), Settings(), Settings(top_p=0.3)]
    draws = [Draw(settings, make_key(seed, 0), 0) for seed in range(200) for settings in mixed]
    tokens, _ = sample(np.tile(LOGITS, (800, 1)), draws)
    assert set(tokens[0::4]) == set(tokens[1::4]) == set(tokens[3::4]) == {0}
    assert set(tokens[2::4]) == {0, 1, 2, 3, 4}


def test_log_probabilities_are_the_models_own():
    """They are natural logarithms before temperature and cuts, and given only where asked for."""
    settings = Settings(temperature=0.1, top_k=3, logprobs=True)
    draws = [Draw(settings, 1, 0), Draw(Settings(), 1, 0)]
    tokens, logprobs = sample(np.tile(LOGITS + 3, (2, 1)), draws)
    assert logprobs[0] == pytest.approx(math.log(PROBABILITIES[tokens[0]]), abs=1e-6)
    assert logprobs[1] is None
