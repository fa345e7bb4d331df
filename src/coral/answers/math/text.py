r"""The spelling of mathematical answers: one way to write what people write in many.

`clean` keeps what a person would read. `settle` brings wrappers, Unicode, LaTeX variants and braces into one
form, so that variants of one answer look alike. Pure string work on texts of bounded length.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from itertools import groupby
from math import prod

MAX_CHARS = 2_000
"""Longer texts are no answer; they equal only themselves."""

_INSIDE = "[^{}]*"
for _ in range(6):
    _INSIDE = rf"(?:[^{{}}]|\{{{_INSIDE}\}})*"
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_BOX = re.compile(rf"\\(?:f?boxed|fbox)\s*\{{({_INSIDE})\}}")
PICTURES = "\u2190-\u21ff\u2600-\u27bf\ufe0f\U0001f300-\U0001faff"
_DECORATION = re.compile(rf"^[\s{PICTURES}]+|[\s∎■□◻{PICTURES}]+$")
"""Ticks, arrows, the end of a proof."""
EQUALS = re.compile(r"(?<![<>!=:])=(?!=)")
_LETTERS = re.compile(r"[A-Za-z,;<>]")
_COMMANDS = re.compile(
    r"\\(?:[dt]?frac|sqrt|cdot|times|left|right|pi|[!,;: ])(?![A-Za-z])|(?<=\d)\s*(?:[xCP]|choose)\s*(?=\d)"
    r"|[CP]\(\d+,\s?\d+\)"
)


def clean(text: str) -> str:
    """An answer without delimiters, boxes, emphasis and final stop, otherwise as it was written."""
    text, before = text.strip(), None
    while text != before and len(text) <= MAX_CHARS:
        before, text = text, _DECORATION.sub("", text)
        text = _BOX.sub(r"\1", text).strip() if "box" in text else text
        if text.endswith((".", ",", ";", ":", "。")) and not text.endswith(".."):
            text = text[:-1].rstrip()
        for left, right in _WRAPPERS:
            inside = text[len(left) : -len(right)]
            closed = text.startswith(left) and text.endswith(right) and len(text) > len(left)
            if closed and not inside.endswith("\\") and left not in inside.replace(r"\$", ""):
                text = inside.strip()
    return text


_LETTERED = re.compile(
    r"(?:\\(?:text|math)(?:bf|rm)?\s*\{)?\s*(?:\(?[A-E]\)|[A-E]\.(?=\s))\s*\}?"
    r"(?:\\[ ,;:!]|\\q?quad(?![a-z])|[\s~:])*(?=[-+]?(?:\.?\d|\\?\$\s?\d|\\[dt]?frac|\\sqrt))"
)
r"""The letter of a choice before what the choice says: `\textbf{(A)}\ 15`."""
_ANGLED = re.compile(r"=?\s*<\s*([^<>,]*\d[^<>,]*)\s*>|=\s*([^=<>]+)")
_SHOWN = re.compile(r"([-+]?[\d.,/]+)\s+[(\[][=\s]*([-+*/=x\u00d7\u00b7\u2212.,\d\s]+)[)\]]")
_ARITHMETIC = str.maketrans({"\u00d7": "*", "\u00b7": "*", "x": "*", "\u2212": "-", ",": None, " ": None})


def bare_value(text: str) -> str:
    """An answer cleaned, and of a computation such as "12 + 3 = 15" or "15 (12 + 3)" the result."""
    text = clean(text)
    text = text[label.end() :] if (label := _LETTERED.match(text)) else text
    text = angled[1] or angled[2] if (angled := _ANGLED.fullmatch(text)) else text
    if shown := _SHOWN.fullmatch(text):
        worth = {*map(_worth, [shown[1], *shown[2].split("=")])}
        return shown[1] if len(worth) == 1 and None not in worth else text
    links = split(text, EQUALS)
    if len(links) > 1 and all(links) and not _LETTERS.search(_COMMANDS.sub("", text)):
        return clean(links[-1])
    return text


def _worth(computation: str) -> Fraction | None:
    """What sums and products of plain numbers come to; None for anything else."""
    terms = computation.translate(_ARITHMETIC).replace("-", "+-").removeprefix("+").split("+")
    try:
        return sum((prod(map(Fraction, term.split("*")), start=Fraction(1)) for term in terms), Fraction(0))
    except (ValueError, ZeroDivisionError):
        return None


_BRACKET = re.compile(r"\\[{}]|\\(?:begin|end)\b|\\.|[()\[\]{}]", re.DOTALL)
_DEPTH = {"(": 1, "[": 1, "{": 1, r"\{": 1, r"\begin": 1, ")": -1, "]": -1, "}": -1, r"\}": -1, r"\end": -1}


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Cut `text` at the separators outside of all brackets."""
    pieces, done = [], 0
    for found in separator.finditer(outside(text)):
        pieces.append(text[done : found.start()].strip())
        done = found.end()
    return [*pieces, text[done:].strip()]


def outside(text: str) -> str:
    """`text` with all that stands inside brackets blanked out."""
    pieces, depth, done = [], 0, 0
    for bracket in _BRACKET.finditer(text):
        change = _DEPTH.get(bracket.group(), 0)
        pieces.append(text[done : bracket.start()] if not depth else "\0" * (bracket.start() - done))
        pieces.append(bracket.group() if not (depth or change) else "\0" * len(bracket.group()))
        depth, done = max(depth + change, 0), bracket.end()
    return "".join([*pieces, "\0" * (len(text) - done) if depth else text[done:]])


# Unicode ---------------------------------------------------------------------------------------------------

_SIGNS = {
    "-": "−–—‐‑‒﹣", r"\cdot ": "×·⋅∙∗✕⨯•", "/": "÷∕⁄", r"\infty ": "∞", r"\leq ": "≤⩽≦", r"\geq ": "≥⩾≧",
    r"\neq ": "≠", r"\approx ": "≈≃≅", r"\pm ": "±", r"\cup ": "∪", r"\cap ": "∩", r"\in ": "∈", "...": "…",
    r"\emptyset ": "∅⌀", r"\setminus ": "∖", r"\sqrt ": "√", r"\sqrt[3] ": "∛", r"\sqrt[4] ": "∜", "|": "∣",
    r"^{\circ}": "°º˚", "'": "’‘′ʹ", '"': "″“”", ",": "、，", ".": "。", "": "\u200b\u2060\ufeff\u2061\u2062",
    r"\mathbb{R}": "ℝ", r"\mathbb{Z}": "ℤ", r"\mathbb{N}": "ℕ", r"\mathbb{Q}": "ℚ", "(": "⟨", ")": "⟩",
    ":": "∶", r"\sum ": "∑", r"\prod ": "∏", r"\int ": "∫", r"\angle ": "∠", r"\to ": "→",
}  # fmt: skip
_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma"
_ASCII = {ord(sign): latex for latex, signs in _SIGNS.items() for sign in signs}
_ASCII |= {
    ord("α") + at: rf"\{name} " for at, name in enumerate(f"{_GREEK} tau upsilon phi chi psi omega".split())
}
_MARKS = re.compile("[\u0304\u0305]")
_BARRED = re.compile(f"(?:[0-9A-Za-z]{_MARKS.pattern})+")
"""Combining bars: 0.3\u0305 repeats its 3, x\u0304 is a mean."""
_RAISED = {"<super>": "^{%s}", "<sub>": "_{%s}"}


def _kind(sign: str) -> str:
    """`<super>`, `<sub>`, `<fraction>` or another kind of the Unicode database; "" for a sign by itself."""
    return unicodedata.decomposition(sign).partition(" ")[0] if ord(sign) not in _ASCII else ""


def _ascii(text: str) -> str:
    """Signs of Unicode as LaTeX, digits of all scripts as digits."""
    pieces = []
    text = _BARRED.sub(lambda m: f"\\overline{{{_MARKS.sub('', m[0])}}}", text)
    for kind, run in groupby(text, _kind):
        plain = [
            unicodedata.normalize("NFKC", sign) if kind else str(unicodedata.decimal(sign, sign))
            for sign in run
        ]
        if kind == "<fraction>":
            plain = [" \\frac{{{}}}{{{}}} ".format(*sign.split("⁄")) for sign in plain]
        pieces.append(_RAISED.get(kind, "%s").replace("%s", "".join(plain)))
    return "".join(pieces).translate(_ASCII)


# LaTeX -----------------------------------------------------------------------------------------------------

_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|sec|csc|cot|ln|log|exp|gcd|lcm|max|det"
_NAME = re.compile(rf"(?<![\\A-Za-z])({_FUNCTIONS}|sqrt|pi|infinity|infty|inf|oo)(?![A-Za-z])")
_SYNONYMS = {
    r"\leq ": "leqslant le", r"\geq ": "geqslant ge", r"\neq ": "ne", ">": "gt", "<": "lt", "/": "div",
    r"\emptyset ": "varnothing", r"\cdot ": "times ast", r"\{": "lbrace", r"\}": "rbrace", "[": "lbrack",
    "]": "rbrack", "(": "langle lparen", ")": "rangle rparen", ":": "colon", "...": "dots ldots cdots",
    r"\setminus ": "backslash", "%": "percent", " or ": "lor vee", " and ": "land wedge", r"\log_{10} ": "lg",
    "'": "prime", r"\mathbb{R}": "R reals", r"\frac": "dfrac tfrac cfrac", r"\binom": "dbinom tbinom",
    r"^{\circ}": "degree degrees", r"\phi ": "varphi", " ": "quad qquad thinspace", r"\cup ": "bigcup",
    r"\infty ": "infinity infty inf oo", "|": "mid vert lvert rvert", "": "left right displaystyle textstyle "
    "limits big Big bigg Bigg bigl bigr Bigl Bigr large Large middle checkmark",
}  # fmt: skip
_SYNONYM = {name: latex for latex, names in _SYNONYMS.items() for name in names.split()}
_COMMAND = re.compile(r"\\([A-Za-z]+)(?:\s*\.(?!\d))?")
_DOUBLED = re.compile(r"(?<!\\)\\\\(?=[A-Za-z]{2,})")
_DROPPED = re.compile(
    r"\\(?:begin|end)\{(?:aligned|align|equation|gather|gathered|displaymath|split|math|center)\*?\}"
    r"|\\(?:tag\*?|label|[hv]space\*?|[hv]?phantom)\{[^{}]*\}|\\color\s*\{[^{}]*\}(?!\s*\{)"
)
_STYLE = r"\\(?:text(?!color)[a-z]*|mbox|hbox|math(?:rm|bf|it|sf|tt|normal)|operatorname\*?|emph|underline|bm"
_STYLED = re.compile(
    rf"(?:{_STYLE}|boldsymbol|ensuremath)|\\(?:text|f)?color(?:box)?\s*\{{[^{{}}]*\}})\s*\{{({_INSIDE})\}}"
)
_OLD_STYLE = re.compile(r"\{\s*\\(?:rm|it|sf|tt|bf)\b([^{}]*)\}|\\(?:rm|bf)\s(.*)$")
_UNIT_FRACTION = re.compile(
    r"\\frac\s*\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*\}"
    r"\s*\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*(\^\{?\d\}?)?\s*\}"
)
_ARRAY = re.compile(r"[\[(]\s*\\begin\{array\}(?:\{[^{}]*\})?(.*?)\\end\{array\}\s*[\])]", re.DOTALL)
_JOINERS = re.compile(r",?\s*(and|or)|[,;]", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\!,|\\[,;: !](?=\d{3}(?!\d)))\s*(?=\d)")
_SPACE = re.compile(r"(?<!\\)\\[,;:! />]|~|(?:\\\\|\\)\s*$|\\q?quad(?=[A-Za-z]_)")
_ARGUMENT = rf"(\{{{_INSIDE}\}}|\\[A-Za-z]+|[^\s{{}}\\])"
_TWO_ARGUMENTS = re.compile(rf"(\\(?:frac|binom))\s*{_ARGUMENT}\s*{_ARGUMENT}")
_INFIX = re.compile(
    r"\{([^{}]*)\\(over|choose)(?![A-Za-z])([^{}]*)\}|(\w+)\s*\\(choose|over)(?![A-Za-z])\s*(\w+)"
)
_ROOT = re.compile(r"\\sqrt\s*(\[[^\[\]]*\])?\s*(?:\(([^()]*)\)|(-?\d+(?:\.\d+)?|\\[A-Za-z]+|[A-Za-z]))")
_ATOM = r"[-+]?(?:\d+(?:\.\d+)?|[A-Za-z]|\\(?!frac|sqrt)[A-Za-z]+|\\frac\{[^{}]*\}\{[^{}]*\})"
_SCRIPT = re.compile(rf"([\^_])\s*(?:\(([^()]*)\)|({_ATOM}))")
_SLASHED = re.compile(r"\^\{(\d+)\}\s*/\s*_\{(\d+)\}")  # ²⁄₃
_N, _K = r"(?P<n>\d+|[nmN])", r"(?P<k>\d+|[krm])"
_CHOSEN = [  # ⁵C₂ and {}_5P_2, C_5^2, C^2_5, 5C2, C(5, 2), 5 choose 2
    re.compile(pattern)
    for pattern in (
        rf"(?<![A-Za-z\\])(?P<kind>nCr|nPr|binom|comb|C|P)\s?\(\s*{_N}\s*,\s*{_K}\s*\)",
        rf"(?<![\w)}}\]])(?:\{{\}}\s*)?[\^_]\{{{_N}\}}\s*(?P<kind>[CP])\s*_\{{{_K}\}}",
        rf"(?<!\w)(?P<kind>[CP])\s*_\{{{_N}\}}\^\{{{_K}\}}",
        rf"(?<!\w)(?P<kind>[CP])\s*\^\{{{_K}\}}_\{{{_N}\}}",
        rf"(?<![\w.]){_N}\s?(?P<kind>[CP])\s?{_K}(?![\w.])",
        rf"(?<!\w){_N}\s+(?P<kind>choose)\s+{_K}(?!\w)",
    )
]
_CHOICE = re.compile("[CP]|choose|comb|binom")
_GLUED_BASE = re.compile(r"\\log_\{(\d)(\d+)\}(?=\s*(?:$|[-+=,)]))")
_DOLLAR = re.compile(r"(?<!\\)\$")
_MONEY = re.compile(r"(?<!\\)\$\s?[\d.]")
_ORDINAL = re.compile(r"(?<=\d)\s*\^\{(?:\\text\{)?\s*(?:st|nd|rd|th)\s*\}?\}")
_RELATIONS = {"<=": r"\leq ", ">=": r"\geq ", "!=": r"\neq ", "==": "=", "**": "^", "*": r"\cdot "}


def settle(text: str) -> str:
    r"""An answer in settled spelling, with words kept apart as `\text{...}`."""
    text = clean(text if text.isascii() else _ascii(text))
    if len(_DOLLAR.findall(text)) > len(_MONEY.findall(text)):  # delimiters
        text = _DOLLAR.sub(" ", text)
    text = text.replace(r"\$", "$").replace(r"\%", "%")
    if "\\" in text or "{" in text:
        text = _ARRAY.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", text)
        text = _DROPPED.sub(" ", _DOUBLED.sub(r"\\", _THOUSANDS.sub("", text)))
        text = _COMMAND.sub(lambda m: _SYNONYM.get(m[1], m[0]), text)
        text = _SPACE.sub(" ", text if "matrix" in text or "array" in text else text.replace("&", ""))
        text = _STYLED.sub(_styled, _OLD_STYLE.sub(_styled, _UNIT_FRACTION.sub(r" \\text{\1/\2\3}", text)))
        text = _TWO_ARGUMENTS.sub(
            lambda m: m[1] + "".join(a if a[0] == "{" else f"{{{a}}}" for a in m.groups()[1:]), text
        )
        text = _INFIX.sub(_infix, text)
    for old, new in _RELATIONS.items():
        text = text.replace(old, new)
    text = _NAME.sub(lambda m: _SYNONYM.get(m[1], f"\\{m[1]} "), text)
    if "^" in text or "_" in text or "\\" in text:
        text = _ROOT.sub(lambda m: f"\\sqrt{m[1] or ''}{{{m[2] or m[3]}}}", text)
        text = _GLUED_BASE.sub(r"\\log_{\1}{\2}", _SCRIPT.sub(lambda m: f"{m[1]}{{{m[2] or m[3]}}}", text))
        text = _SLASHED.sub(r" \\frac{\1}{\2} ", text)
        text = text.replace("^{'}", "'").replace("^{o}", r"^{\circ}")
        text = _ORDINAL.sub("", re.sub(r"\\(?:Bbb|mathbb)\s*\{?([A-Z])\}?", r"\\mathbb{\1}", text))
    for choice in _CHOSEN if _CHOICE.search(text) else ():
        text = choice.sub(_chosen, text)
    return " ".join(text.split())


def _chosen(found: re.Match[str]) -> str:
    n, k = found["n"], found["k"]
    if n.isdigit() and k.isdigit() and int(n) < int(k):  # a point P(1, 2)
        return found[0]
    return rf" \frac{{{n}!}}{{({n}-{k})!}} " if "P" in found["kind"] else rf" \binom{{{n}}}{{{k}}} "


def _styled(found: re.Match[str]) -> str:
    r"""What stands in a text command: mathematics as such, words as `\text{words}`."""
    content = _STYLED.sub(_styled, next(filter(None, found.groups()), "")).strip()
    if joiner := _JOINERS.fullmatch(content):
        return f" {joiner[1] or ','} ".lower()
    if re.fullmatch(_FUNCTIONS, content):
        return f"\\{content} "
    behind_number = re.fullmatch(r"[A-Za-z%]", content) and re.search(
        r"[\d)}]\s*$", found.string[: found.start()]
    )
    words = re.search(r"[A-Za-z]{2}", content) and not re.search(r"[\d$\\{]", content)
    return f" \\text{{{content}}}" if words or behind_number else f" {content} "


def _infix(found: re.Match[str]) -> str:
    above, kind, below = [group.strip() for group in found.groups() if group is not None]
    return f"\\{'frac' if kind == 'over' else 'binom'}{{{above}}}{{{below}}}"
