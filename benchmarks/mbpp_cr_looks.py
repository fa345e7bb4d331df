"""Can the programs of an MBPP-CR set be told apart by their looks alone?

    python benchmarks/mbpp_cr_looks.py mbpp_cr.jsonl mbpp.jsonl

A logistic regression on what can be counted in a program's text (lengths, constants, operators, docstrings),
and another that knows the edit distance to MBPP's own solution, which no agent sees. Both are trained on four
fifths of the problems and tested on the rest, 20 times. 50% is chance; what is above it, an agent could have
without reading.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import sys
import tokenize
from pathlib import Path
from typing import Any

import numpy as np

from coral.mutation import normalized

FOLDS, ROUNDS, STEPS, DECAY = 5, 20, 300, 1.0
USUAL = {0, 1, 2, 10}


def looks(program: str) -> list[float]:
    """What can be counted without understanding: 14 numbers."""
    tree = ast.parse(program)
    nodes = list(ast.walk(tree))
    tokens = [token.string for token in tokenize.generate_tokens(io.StringIO(program).readline)]
    numbers = [
        node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) in (int, float)
    ]
    kinds = (ast.Not, ast.Compare, ast.BinOp, ast.If, ast.For, ast.While, ast.Return, ast.Break, ast.Call)
    return [
        len(program),
        program.count("\n"),
        len(tokens),
        *(sum(isinstance(node, kind) for node in nodes) for kind in kinds),
        sum(abs(number) not in USUAL for number in numbers),
        float('"""' in program),
    ]


def accuracy(features: np.ndarray, labels: np.ndarray, problems: list[str]) -> tuple[float, float]:
    """Mean share of programs told right, and its standard error over problems."""
    names = np.array(sorted(set(problems)))
    hits: dict[str, list[float]] = {}
    for round_ in range(ROUNDS):
        folds = np.random.default_rng(round_).permutation(len(names)) % FOLDS
        fold_of = dict(zip(names, folds, strict=True))
        fold = np.array([fold_of[name] for name in problems])
        for held in range(FOLDS):
            train, test = fold != held, fold == held
            guesses = predicted(features[train], labels[train], features[test])
            for at, guess in zip(np.flatnonzero(test), guesses, strict=True):
                hits.setdefault(problems[at], []).append(float(guess == labels[at]))
    means = [float(np.mean(one)) for one in hits.values()]
    return float(np.mean(means)), float(np.std(means, ddof=1) / len(means) ** 0.5)


def predicted(features: np.ndarray, labels: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """The labels of unseen programs, by ridge logistic regression."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    known, new = ((x - mean) / scale for x in (features, unseen))
    weights, bias = np.zeros(features.shape[1]), 0.0
    for _ in range(STEPS):
        error = 1 / (1 + np.exp(-(known @ weights + bias))) - labels
        weights -= 0.5 * (known.T @ error + DECAY * weights) / len(labels)
        bias -= 0.5 * float(error.mean())
    return (new @ weights + bias > 0).astype(float)


def distance(program: str, reference: str) -> float:
    """Characters that differ, as a share."""
    return 1 - difflib.SequenceMatcher(None, program, reference, autojunk=False).ratio()


def read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def main(made: str, data: str) -> None:
    rows = read(made)
    references = {str(row["task_id"]): normalized(row["code"]) for row in read(data)}
    labels = np.array([float(row["label"] == "correct") for row in rows])
    problems = [row["problem"] for row in rows]
    seen = np.array([looks(row["program"]) for row in rows])
    far = np.array([[distance(row["program"], references[row["problem"]])] for row in rows])
    print(f"{len(rows)} programs of {len(set(problems))} problems")
    for name, features in (
        ("looks", seen),
        ("looks and edit distance", np.hstack([seen, far])),
        ("edit distance", far),
        ("length", seen[:, :1]),
    ):
        share, error = accuracy(features, labels, problems)
        print(f"{name:24} {share:6.1%} ± {1.96 * error:.1%}")
    pairs: dict[str, dict[str, float]] = {}
    for row, (length, *_), (apart,) in zip(rows, seen, far, strict=True):
        pairs.setdefault(row["problem"], {})[row["label"]] = length
        pairs[row["problem"]][f"{row['label']} far"] = apart
    longer = [np.sign(pair["correct"] - pair["incorrect"]) for pair in pairs.values()]
    print(f"the right one of a pair is the longer one in {np.mean([(s + 1) / 2 for s in longer]):.1%}")
    nearer = [np.sign(pair["incorrect far"] - pair["correct far"]) for pair in pairs.values()]
    print(f"the right one of a pair is nearer to MBPP's own in {np.mean([(s + 1) / 2 for s in nearer]):.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
