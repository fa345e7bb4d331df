"""Every metric, in the order of tables. Tables, documents and the arithmetic all read this."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from coral.errors import ConfigError
from coral.metrics.info import BOTH, MetricInfo, amount, rate, share, yes_no
from coral.metrics.published import REFERENCE

OUTCOME = (
    yes_no(
        "agreement_correctness",
        "Agreement, and right",
        "right",
        "Share of conversations that end in agreement on the right answer; no agreement counts as wrong.",
        headline=True,
        better="higher",
    ),
    yes_no(
        "agreement",
        "Agreement",
        "agreed",
        "Share of conversations in which both agents' latest beliefs are equal answers.",
        headline=True,
    ),
    yes_no(
        "accuracy",
        "Accuracy",
        "right",
        "Share of the readable single answers that are right; unsure is wrong, unreadable is unscored. "
        "To compare with a pair take accuracy_strict.",
        protocols=("cot",),
        headline=True,
        better="higher",
    ),
    yes_no(
        "agreement_correctness_strict",
        "Agreement, right (strict)",
        "right",
        "Right agreed answers among all conversations: failed and unscored ones count as wrong.",
        kind="strict",
        better="higher",
    ),
    yes_no(
        "accuracy_strict",
        "Accuracy (strict)",
        "right",
        "Right single answers among all conversations: failed and unscored ones count as wrong.",
        kind="strict",
        protocols=("cot",),
        better="higher",
    ),
    yes_no(
        "majority_vote",
        "Majority vote over samples",
        "right",
        "Share of problems whose most frequent answer in the samples is right; tied ones share the credit.",
        kind="vote",
        protocols=BOTH,
        better="higher",
    ),
    yes_no(
        "pass_any",
        "Any sample right",
        "right",
        "Share of problems of which at least one sample is right.",
        kind="pass_any",
        protocols=BOTH,
        better="higher",
    ),
    share(
        "agreed_accuracy",
        "Right when agreed",
        "right",
        "agreed",
        "Share of the agreed answers that are right.",
        better="higher",
    ),
    yes_no(
        "any_turn_right",
        "Any turn right",
        "any_right",
        "Share of conversations in which at least one turn submits the right answer.",
        better="higher",
    ),
    share(
        "turns_to_first_success",
        "Turns to first success",
        "first_success",
        "any_right",
        "Mean number of the first right turn, over the conversations that have one.",
        unit="turns",
        interval="amount",
        better="lower",
    ),
)

BELIEFS = (
    rate(
        "valid_answer_rate",
        "Turns with an answer",
        "answered",
        "Share of turns that submit an answer.",
        protocols=BOTH,
    ),
    rate(
        "unsure_rate", "Unsure turns", "unsure", "Share of turns that submit no answer yet.", protocols=BOTH
    ),
    rate(
        "unreadable_rate",
        "Unreadable turns",
        "unreadable",
        "Share of turns whose answer could not be determined: the extractor error rate.",
        protocols=BOTH,
        better="lower",
    ),
    rate(
        "truncated_rate",
        "Turns cut off",
        "truncated",
        "Share of turns cut by the token limit.",
        protocols=BOTH,
        better="lower",
    ),
    rate(
        "overrun_rate",
        "Turns past their end",
        "overrun",
        "Share of turns whose model wrote past its end mark; what stood behind the mark was left out.",
        protocols=BOTH,
        better="lower",
    ),
    rate(
        "model_extraction_rate",
        "Turns read by a model",
        "model_extracted",
        "Share of turns whose answer the rules could not find, so that a model was asked.",
        protocols=BOTH,
    ),
)

SOCIAL = (
    rate(
        "persuasion",
        "Persuasive turns",
        "persuasive",
        "Share of turns after which the partner changed to the speaker's belief.",
    ),
    share(
        "persuasion_quality",
        "Persuasion quality",
        "persuasion_gain",
        "persuasive",
        "Partner's score after minus before a persuasive turn (right 1, wrong 0, unsure 0.5).",
        unit="score",
        interval="t",
        better="higher",
    ),
    share(
        "correct_persuasion",
        "... to a right answer",
        "persuasive_right",
        "persuasive",
        "Share of persuasive turns that are right.",
    ),
    share(
        "incorrect_persuasion",
        "... to a wrong answer",
        "persuasive_wrong",
        "persuasive",
        "Share of persuasive turns that are wrong.",
    ),
    share(
        "unsure_persuasion",
        "... into doubt",
        "persuasive_unsure",
        "persuasive",
        "Share of persuasive turns that are unsure.",
    ),
    share(
        "persuasion_success_rate",
        "Success of persuasion",
        "won",
        "contested",
        "Of the answers that differ from the partner's stated belief, the share it took over at once.",
    ),
    rate(
        "assertiveness",
        "Assertive turns",
        "assertive",
        "Share of turns that keep the speaker's belief although the partner's differs.",
    ),
    share(
        "correct_assertion",
        "... on a right answer",
        "assertive_right",
        "assertive",
        "Share of assertive turns that are right.",
    ),
    share(
        "incorrect_assertion",
        "... on a wrong answer",
        "assertive_wrong",
        "assertive",
        "Share of assertive turns that are wrong.",
    ),
    share(
        "unsure_assertion",
        "... on doubt",
        "assertive_unsure",
        "assertive",
        "Share of assertive turns that are unsure.",
    ),
    share(
        "conformity",
        "Conformity",
        "yielded",
        "disagreements",
        "Of the turns before which both agents answered differently, the share that adopts the other's.",
    ),
    share(
        "lost_right_answer_rate",
        "Right answers lost",
        "right_lost",
        "right_challenged",
        "Of the turns at which a right speaker meets a wrong answer, the share that adopts it.",
        better="lower",
    ),
    share(
        "gained_right_answer_rate",
        "Right answers gained",
        "wrong_mended",
        "wrong_challenged",
        "Of the turns at which a wrong speaker meets the right answer, the share that adopts it.",
        better="higher",
    ),
)

EFFORT = (
    amount(
        "turns", "Turns", "turns", "turns", "Turns of a conversation; the opening is not one.", protocols=BOTH
    ),
    rate(
        "tokens_per_turn",
        "Tokens written a turn",
        "reply_tokens",
        "Completion tokens a turn.",
        unit="tokens",
        interval="amount",
        protocols=BOTH,
    ),
    share(
        "opener/tokens_per_turn",
        "Written a turn, opener",
        "opener_tokens",
        "opener_turns",
        "Completion tokens a turn of the opener.",
        unit="tokens",
        interval="amount",
    ),
    share(
        "responder/tokens_per_turn",
        "Written a turn, responder",
        "responder_tokens",
        "responder_turns",
        "Completion tokens a turn of the responder.",
        unit="tokens",
        interval="amount",
    ),
    amount(
        "conversation_tokens",
        "Tokens written",
        "tokens",
        "reply_tokens",
        "Completion tokens of the turns of a conversation, without unchosen candidates and extraction.",
        protocols=BOTH,
    ),
    amount(
        "total_tokens",
        "All tokens, read and written",
        "tokens",
        "total_tokens",
        "Prompt and completion tokens of a conversation: unchosen candidates, roll-outs and extraction too.",
        protocols=BOTH,
        better="lower",
    ),
    share(
        "tokens_per_right_answer",
        "All tokens per right answer",
        "total_tokens",
        "right",
        "All tokens, read and written, over the number of right outcomes.",
        unit="tokens",
        interval="amount",
        protocols=BOTH,
        better="lower",
    ),
    amount(
        "seconds",
        "Seconds",
        "seconds",
        "seconds",
        "Wall time of a conversation.",
        protocols=BOTH,
        better="lower",
    ),
    amount(
        "cost",
        "Cost",
        "USD",
        "cost",
        "Price of a conversation by the price table.",
        protocols=BOTH,
        better="lower",
    ),
    share(
        "cost_per_right_answer",
        "Cost per right answer",
        "cost",
        "right",
        "Price of all scored conversations, over the number of right outcomes.",
        unit="USD",
        interval="amount",
        protocols=BOTH,
        better="lower",
    ),
    yes_no(
        "failure_rate",
        "Failed conversations",
        "failed",
        "Share of conversations in which a request failed for good.",
        kind="failures",
        protocols=BOTH,
        better="lower",
    ),
)

SPEAKERS = ("agent", "partner")
OF_A_SPEAKER = (
    "valid_answer_rate",
    "persuasion",
    "persuasion_quality",
    "persuasion_success_rate",
    "assertiveness",
    "conformity",
    "lost_right_answer_rate",
    "gained_right_answer_rate",
    "tokens_per_turn",
)
"""Metrics that are split by speaker where agent and partner differ."""


def _of_speaker(speaker: str, info: MetricInfo) -> MetricInfo:
    """Over the speaker's own turns. A speaker may have no turn in a conversation, so a mean of rates becomes
    a ratio.
    """
    pooled = info.kind == "mean_rate"
    return replace(
        info,
        name=f"{speaker}/{info.name}",
        title=f"{info.title}, {speaker}",
        kind="ratio",
        interval="proportion" if pooled and info.unit == "share" else info.interval,
        numerator=f"{speaker}/{info.numerator}",
        denominator=f"{speaker}/{info.denominator}",
        protocols=("coral",),
        help=f"{info.help.rstrip('.')}; turns of the {speaker} only.",
    )


_CORE = (*OUTCOME, *BELIEFS, *SOCIAL, *EFFORT)
METRICS: tuple[MetricInfo, ...] = (
    *_CORE,
    *(_of_speaker(speaker, info) for speaker in SPEAKERS for info in _CORE if info.name in OF_A_SPEAKER),
    *REFERENCE,
)
"""All metrics, in the order of tables."""

BY_NAME = {info.name: info for info in METRICS}


def metric(name: str) -> MetricInfo:
    """Look a metric up.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in BY_NAME:
        near = get_close_matches(name, BY_NAME, n=3)
        raise ConfigError(
            f"no metric '{name}'",
            remedy=f"did you mean {' or '.join(near)}?" if near else "docs/metrics.md lists the metrics",
        )
    return BY_NAME[name]
