"""The published code's metrics as entries of the catalog; `reference.py` computes them."""

from __future__ import annotations

from coral.metrics.info import MetricInfo, amount, yes_no


def published(name: str, text: str, kind: str = "rate", **more: object) -> MetricInfo:
    more = {"seats": "two", **more}
    if kind == "yes_no":
        return yes_no(f"reference/{name}", name, f"reference/{name}", text, **more)
    if kind == "rate":
        return yes_no(f"reference/{name}", name, f"reference/{name}", text, **{"interval": "rate", **more})
    return amount(f"reference/{name}", name, kind, f"reference/{name}", text, **more)  # type: ignore[arg-type]


REFERENCE = (
    published("agreement", "Published agreement: adjacent turns, compared as texts.", "yes_no"),
    published("agreement_correctness", "Published agreement correctness.", "yes_no"),
    published(
        "final_success_rate",
        "Published share of conversations with any right turn: the score of chain of thought.",
        "yes_no",
        seats="any",
    ),
    published(
        "n_turns_to_success", "Published turns to success; never counts as the limit of turns.", "turns"
    ),
    published(
        "persuade_rate", "Published share of persuasive turns; the opening counts as an unsure belief."
    ),
    published("correct_persuade_rate", "Published share of right persuasive turns; 0 where none persuades."),
    published(
        "incorrect_persuade_rate", "Published share of wrong persuasive turns; 0 where none persuades."
    ),
    published("unsure_persuade_rate", "Published share of unsure persuasive turns; 0 where none persuades."),
    published(
        "persuasion_quality",
        "Published persuasion quality; 0 where no turn persuades.",
        "score",
        interval="score",
    ),
    published("assert_rate", "Published share of assertive turns; the opening counts as an unsure belief."),
    published("correct_assert_rate", "Published share of right assertive turns; 0 where none asserts."),
    published("incorrect_assert_rate", "Published share of wrong assertive turns; 0 where none asserts."),
    published("unsure_assert_rate", "Published share of unsure assertive turns; 0 where none asserts."),
    published("total_turns", "Published number of turns: the opening is one.", "turns"),
    published("t_len", "Published tokens per turn of the responder; 0 where it has none.", "tokens"),
    published("s_len", "Published tokens per turn of the opener; 0 where it has none.", "tokens"),
)
