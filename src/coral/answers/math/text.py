r"""The spelling of mathematical answers: one way to write what people write in many.

`clean` keeps what a person would read. `settle` brings wrappers, Unicode, LaTeX variants and braces into one
form, so that variants of one answer look alike. Pure string work on texts of bounded length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby

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


_BRACKET = r"\\[{}]|\\(?:begin|end)\b|\\.|[()\[\]{}]"
_DEPTH = {"(": 1, "[": 1, "{": 1, r"\{": 1, r"\begin": 1, ")": -1, "]": -1, "}": -1, r"\}": -1, r"\end": -1}


def split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Cut `text` at the separators outside of all brackets."""
    pieces, depth, done = [], 0, 0
    for found in _cutter(separator).finditer(text) if separator.search(text) else ():
        if found["cut"] is None:
            depth = max(depth + _DEPTH.get(found[0], 0), 0)
        elif not depth:
            pieces.append(text[done : found.start()].strip())
            done = found.end()
    return [*pieces, text[done:].strip()]


@lru_cache
def _cutter(separator: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"(?P<cut>{separator.pattern})|{_BRACKET}", re.DOTALL)


# Unicode ---------------------------------------------------------------------------------------------------

_SPELLINGS = {
    r"\leq ": "≤⩽≦ leqslant le", r"\geq ": "≥⩾≧ geqslant ge", r"\neq ": "≠ ne", r"\approx ": "≈≃≅",
    r"\pm ": "±", r"\cdot ": "×·⋅∙∗✕⨯• times ast", "/": "÷∕⁄ div", r"\sqrt ": "√", r"\sqrt[3] ": "∛",
    r"\sqrt[4] ": "∜", r"\infty ": "∞ infinity infty inf oo", r"\cup ": "∪ bigcup", r"\cap ": "∩",
    r"\in ": "∈", r"\phi ": "varphi", r"\emptyset ": "∅⌀ varnothing", r"\setminus ": "∖ backslash",
    r"\mathbb{R}": "ℝ R reals", r"\mathbb{Z}": "ℤ", r"\mathbb{N}": "ℕ", r"\mathbb{Q}": "ℚ", r"\sum ": "∑",
    r"\prod ": "∏", r"\int ": "∫", r"\to ": "→", r"\angle ": "∠", r"^{\circ}": "°º˚ degree degrees",
    "'": "’‘′ʹ prime", '"': "″“”", "-": "−–—‐‑‒﹣", ":": "∶ colon", ">": "gt", "<": "lt", r"\{": "lbrace",
    r"\}": "rbrace", "[": "lbrack", "]": "rbrack", "(": "⟨ langle lparen", ")": "⟩ rangle rparen",
    "|": "∣ mid vert lvert rvert", ",": "、，", ".": "。", "...": "… dots ldots cdots", "%": "percent",
    " or ": "lor vee", " and ": "land wedge", r"\log_{10} ": "lg", r"\frac": "dfrac tfrac cfrac",
    r"\binom": "dbinom tbinom", " ": "quad qquad thinspace",
    "": "\u200b\u2060\ufeff\u2061\u2062 left right middle "
    "displaystyle textstyle limits big Big bigg Bigg bigl bigr Bigl Bigr large Large checkmark",
}  # fmt: skip
"""How LaTeX is written here, with the signs of Unicode and the other commands that mean the same."""
_SYNONYM = {name: latex for latex, others in _SPELLINGS.items() for name in others.split() if name.isascii()}
_ASCII = {ord(sign): latex for latex, others in _SPELLINGS.items() for sign in others if not sign.isascii()}
_ASCII |= {at: rf"\{unicodedata.name(chr(at)).split()[-1].lower()} " for at in range(ord("α"), ord("ω") + 1)}
_ASCII[ord("λ")] = r"\lambda "
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
_RELATIONS = {"<=": r"\leq ", ">=": r"\geq ", "!=": r"\neq ", "==": "=", "**": "^", "*": r"\cdot "}
_JOINERS = re.compile(r",?\s*(and|or)|[,;]", re.IGNORECASE)
_STYLE = r"\\(?:text(?!color)[a-z]*|mbox|hbox|math(?:rm|bf|it|sf|tt|normal)|operatorname\*?|emph|underline|bm"
_STYLED = re.compile(
    rf"(?:{_STYLE}|boldsymbol|ensuremath)|\\(?:text|f)?color(?:box)?\s*\{{[^{{}}]*\}})\s*\{{({_INSIDE})\}}"
)


def _styled(found: re.Match[str]) -> str:
    r"""What stands in a text command: mathematics as such, words as `\text{words}`."""
    content = _STYLED.sub(_styled, next(filter(None, found.groups()), "")).strip()
    if joiner := _JOINERS.fullmatch(content):
        return f" {joiner[1] or ','} ".lower()
    if re.fullmatch(_FUNCTIONS, content):
        return f"\\{content} "
    behind_number = len(content) == 1 and re.search(r"[\d)}]\s*$", found.string[: found.start()])
    words = re.search(r"[A-Za-z]{2}", content) and not re.search(r"[\d$\\{]", content)
    is_text = words or (behind_number and (content.isalpha() or content == "%"))
    return f" \\text{{{content}}}" if is_text else f" {content} "


def _chosen(found: re.Match[str]) -> str:
    n, kind, k = found.groups()
    if n.isdigit() and k.isdigit() and int(n) < int(k):  # a point P(1, 2)
        return found[0]
    return rf" \frac{{{n}!}}{{({n}-{k})!}} " if kind == "P" else rf" \binom{{{n}}}{{{k}}} "


_ARGUMENT = rf"(?:\{{({_INSIDE})\}}|(\\[A-Za-z]+|[^\s{{}}\\]))"
_ATOM = r"[-+]?(?:\d+(?:\.\d+)?|[A-Za-z]|\\(?!frac|sqrt)[A-Za-z]+|\\frac\{[^{}]*\}\{[^{}]*\})"
_ARRAY = r"[\[(]\s*\\begin\{array\}(?:\{[^{}]*\})?((?s:.*?))\\end\{array\}\s*[\])]"
_ROOT = r"\\sqrt\s*(\[[^\[\]]*\])?\s*(?:\(([^()]*)\)|(-?\d+(?:\.\d+)?|\\[A-Za-z]+|[A-Za-z]))"
_BARE_NAME = rf"(?<![\\A-Za-z])({_FUNCTIONS}|sqrt|pi|infinity|infty|inf|oo)(?![A-Za-z])"
_N, _K = r"(\d+|[nmN])", r"(\d+|[krm])"
_UNIT = r"\s*\{\s*\\(?:text|mathrm)\{([^{}]*)\}\s*"
_INFIX = r"\{{([^{{}}]*)\\{0}(?![A-Za-z])([^{{}}]*)\}}|(\w+)\s*\\{0}(?![A-Za-z])\s*(\w+)"
Replacement = str | Callable[[re.Match[str]], str]


def _rules(*rules: tuple[str | re.Pattern[str], Replacement]) -> Callable[[str], str]:
    """Substitutions, one after another."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def apply(text: str) -> str:
        for pattern, replacement in compiled:
            text = pattern.sub(replacement, text)
        return text

    return apply


_commands = _rules(  # of a text with commands or braces
    (_ARRAY, r"\\begin{pmatrix}\1\\end{pmatrix}"),
    (r"(?<=\d)(?:\{,\}|,\\!|\\!,|\\[,;: !](?=\d{3}(?!\d)))\s*(?=\d)", ""),  # 10{,}000
    (r"(?<!\\)\\\\(?=[A-Za-z]{2,})", r"\\"),
    (r"\\(?:begin|end)\{(?:aligned|align|equation|gather|gathered|displaymath|split|math|center)\*?\}", " "),
    (r"\\(?:tag\*?|label|[hv]space\*?|[hv]?phantom)\{[^{}]*\}|\\color\s*\{[^{}]*\}(?!\s*\{)", " "),
    (r"\\([A-Za-z]+)(?:\s*\.(?!\d))?", lambda m: _SYNONYM.get(m[1], m[0])),
    (r"(?<!\\)\\[,;:! />]|~|(?:\\\\|\\)\s*$|\\q?quad(?=[A-Za-z]_)", " "),
    (rf"\\frac{_UNIT}\}}{_UNIT}(\^\{{?\d\}}?)?\s*\}}", r" \\text{\1/\2\3}"),
    (r"\{\s*\\(?:rm|it|sf|tt|bf)\b([^{}]*)\}|\\(?:rm|bf)\s(.*)$", _styled),
    (_STYLED, _styled),
    (rf"(\\(?:frac|binom))\s*{_ARGUMENT}\s*{_ARGUMENT}", r"\1{\2\3}{\4\5}"),
    (_INFIX.format("over"), r"\\frac{\1\3}{\2\4}"),
    (_INFIX.format("choose"), r"\\binom{\1\3}{\2\4}"),
)
_signs_and_names = _rules(
    (r"<=|>=|!=|==|\*\*?", lambda m: _RELATIONS[m[0]]),
    (_BARE_NAME, lambda m: _SYNONYM.get(m[1], f"\\{m[1]} ")),
)
_scripts = _rules(  # of a text with commands, powers or indices
    (_ROOT, r"\\sqrt\1{\2\3}"),
    (rf"([\^_])\s*(?:\(([^()]*)\)|({_ATOM}))", r"\1{\2\3}"),
    (r"\\log_\{(\d)(\d+)\}(?=\s*(?:$|[-+=,)]))", r"\\log_{\1}{\2}"),
    (r"\^\{(\d+)\}\s*/\s*_\{(\d+)\}", r" \\frac{\1}{\2} "),  # ²⁄₃
    (r"\^\{'\}", "'"),
    (r"\^\{o\}", r"^{\\circ}"),
    (r"\\(?:Bbb|mathbb)\s*\{?([A-Z])\}?", r"\\mathbb{\1}"),
    (r"(?<=\d)\s*\^\{(?:\\text\{)?\s*(?:st|nd|rd|th)\s*\}?\}", ""),
)
_choices = _rules(  # C(5, 2), {}_5C_2, C_5^2, C^2_5, 5C2, 5 choose 2
    (rf"(?<![A-Za-z\\])(?:n?([CP])r?|binom|comb)\s?\(\s*{_N}\s*,\s*{_K}\s*\)", r" \2 \1 choose \3 "),
    (rf"(?<![\w)}}\]])(?:\{{\}}\s*)?[\^_]\{{{_N}\}}\s*([CP])\s*_\{{{_K}\}}", r" \1 \2 choose \3 "),
    (rf"(?<!\w)([CP])\s*_\{{{_N}\}}\^\{{{_K}\}}", r" \2 \1 choose \3 "),
    (rf"(?<!\w)([CP])\s*\^\{{{_K}\}}_\{{{_N}\}}", r" \3 \1 choose \2 "),
    (rf"(?<![\w.]){_N}\s?([CP])\s?{_K}(?![\w.])", r" \1 \2 choose \3 "),
    (rf"(?<!\w){_N}\s+([CP]?)\s*choose\s+{_K}(?!\w)", _chosen),
)
_CHOICE = re.compile("[CP]|choose|comb|binom")
_DOLLAR, _MONEY = re.compile(r"(?<!\\)\$"), re.compile(r"(?<!\\)\$\s?[\d.]")


def settle(text: str) -> str:
    r"""An answer in settled spelling, with words kept apart as `\text{...}`."""
    text = clean(text if text.isascii() else _ascii(text))
    if len(_DOLLAR.findall(text)) > len(_MONEY.findall(text)):  # delimiters
        text = _DOLLAR.sub(" ", text)
    text = text.replace(r"\$", "$").replace(r"\%", "%")
    if "\\" in text or "{" in text:
        text = _commands(text if "matrix" in text or "array" in text else text.replace("&", ""))
    text = _signs_and_names(text)
    text = _scripts(text) if "^" in text or "_" in text or "\\" in text else text
    text = _choices(text) if _CHOICE.search(text) else text
    return " ".join(text.split())
