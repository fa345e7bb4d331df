"""The wordings by which people and models submit, quote, doubt and withdraw answers, as patterns.

`prose.py` applies them, always to one sentence of bounded length or behind a cheap search for `..._MARKS`.
Patterns name what they match; where a list looks arbitrary, the tests hold the sentence that asked for it.
"""

from __future__ import annotations

import re


def _any(*alternatives: str) -> str:
    return "(?:" + "|".join(alternatives) + ")"


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile(_any(*alternatives), re.IGNORECASE)


STATEMENT_MARKS = (
    *("answer", "option", "choice", "correct", "choos", "pick", "select", "submit"),
    *("go with", "going with", "stick", "settle on", "agree on", "agree with", "is right", "switch"),
)
"""Lower-case substrings of which every statement of an answer holds at least one."""

# How an answer is stated.

_LABEL_WORDS = _any(
    *("so", "thus", "therefore", "hence", "and", "now", "my", "our", "the"),
    *("final", "correct", "updated", "revised", "current", "short"),
)
_SIGNS = r"[^\w\"'(\[{<$\\]*"
"""What may stand before a label: Markdown's marks, bullets, ticks, arrows."""
LABEL = re.compile(
    rf"{_SIGNS}(?:{_LABEL_WORDS}[\s,:.]+)*answer[*_]*"
    r"(?:\s*(?::|=(?![=>])|-(?=\s)|[-=]>|[\u2192\u21d2\u279c\u27a1\u27f6]\ufe0f?)|[ \t]*(?=\n))[\s*_]*",
    re.IGNORECASE,
)
"""A line that begins with "Answer:", "**Final answer**", "My answer -"."""

_BE = _any(r"\bis\b", r"'s\b", r"\bremains\b", r"\bstays\b", r"\b(?:must|should|has to) be\b")
_ELSEWHERE = _any(
    "your", "partner", "textbook", "manual", "key", "previous", "earlier", "first", "part", "case"
)
_ADVERB = _any(
    *("probably", "likely", "most likely", "clearly", "indeed", "definitely", "certainly", "simply"),
    *("therefore", "thus", "hence", "still", "actually", "now", "then", "again", "in fact", "as follows"),
)
ANSWER_IS = re.compile(
    r"(?P<noun>answer|option|choice)(?:\s+(?:choice|option))?"
    r"(?:\s+(?:to|for|here|among|amongst|from|of|in|we|I|out)\b"
    rf"(?:(?!\b{_ELSEWHERE}\b)[^.,;:?!\n]){{0,80}}?)?"
    rf"\s*(?:{_BE}|\bbecomes\b|\bturns out to be\b|:)(?:[\s:*_]|\b{_ADVERB}\b,?)*",
    re.IGNORECASE,
)
"""From the noun to where the value begins, as in "answer to the question is clearly"."""

RANK = re.compile(
    _any(
        *("final", "correct", "right", "best", "most", "likely", "accurate", "appropriate", "closest"),
        *("revised", "updated", "new", "overall", "current", "suitable", "plausible", "probable"),
        *("reasonable", "true", "actual", "proper", "only", "logical", "fitting", "short"),
    )
)
"""Words before "answer" that make it the one that is submitted."""

OWNER = re.compile(
    _any(
        *("the", "my", "our", "so", "hence", "thus", "therefore", "then", "and", "but", "that", "is"),
        *("to", "conclude", "concluded", "as", "now"),
    )
)
"""Words that may open "... (final) answer is"; "your", "another" and "which" may not."""

_FIRST_PERSON = (
    r"\b(?:I|[Ww]e|[Ll]et's)(?:'ll|'d|'m|'re| will| would| am| are| have)?"
    r"(?: still| now| also| therefore| finally| both| fully| completely| thus| to)*"
)
_CHOOSE = _any(
    *("choose", "choosing", "chosen", "pick", "picking", "select", "selecting", "submit", "settle on"),
    *("go with", "going with", "stick(?:ing)? (?:with|to|by)", "agree on"),
    r"agree with(?= \(?[A-Z]\)| option| choice| answer)",
    r"(?:maintain|keep(?: to)?|stand by)(?= my )",
    r"(?:chang|switch|revis|updat)(?:e|ing|ed)?(?: my (?:\w+ )?(?:answer|choice|mind))?(?: from \S+)? to",
)
CHOSEN = re.compile(
    rf"{_FIRST_PERSON}\s+{_CHOOSE}\s+"
    r"(?:my (?:original |initial |earlier |previous )?(?:answer|choice)(?: of)?[\s:,]+)?"
)
""" "I choose", "I'm going with", "we agree on"."""

COMMENT = _pattern(
    *(
        r"not\b",
        r"n't\b",
        r"never\b",
        r"neither\b",
        "unlikely",
        "unclear",
        "wrong",
        "incorrect",
        r"correct\b",
    ),
    *(r"right\b", r"clear\b", "obvious", r"based\b", "consistent", "reasonable", "supported", "justified"),
    *("available", "unavailable", "given by", "obtained", r"found\b", "derived", r"that\b(?! of)", "because"),
    *("in the form", r"either\b", r"between\b", r"what\b", r"which\b", "whichever", "one of", "among"),
    *("also correct", r"sound\b", r"valid\b"),
)
"""What follows "the answer is" when no answer follows."""

FURTHER = re.compile(
    r"(?=(?P<marks>[^a-z\n]{0,8}))(?P=marks)(?=[acefhilnopqstu])"
    r"(?:(?P<sure>(?:(?:next|new|another|follow-?up) )?"
    r"(?:question ?#?\d{0,4}\s?(?:[:.)]|(?=\n))"
    r"|q ?\d{0,4}:|q ?\d{1,4}[.)])"
    r"|the following (?:are|is) (?:a )?(?:multiple|single)[ -]choice"
    r"|here(?:'s| is) (?:another|the next|a (?:new|similar)) (?:question|problem)"
    r"|(?:instruction|input|user|human|student|partner|teammate|(?:agent|player|speaker) [a-z0-9])\s?:)"
    r"|(?:(?:next|new|another|sample|similar) )?(?:problem|exercise|example)"
    r" ?#?(?:\d{0,4}\s?:|\d{1,4}\s?(?=\n))"
    r"|(?:answer )?(?:options|choices)\s?:"
    r"|(?:now,? )?let'?s (?:now )?(?:summari[sz]e|list|review)\b[^\n]{0,40}\banswers"
    r"|(?:now,? )?let'?s\s?总结)",
    re.IGNORECASE,
)
"""A line with which another question or speaker begins. `sure`: no heading of an answer reads so."""

# Whose answer it is.

PARTNER = re.compile(r"\b(?:you|your|yours|partner|partner's|earlier|previous(?:ly)?)\b", re.IGNORECASE)

PLAIN_OPENING = re.compile(
    r"(?:\W|\b(?:so|therefore|thus|hence|then|and|but|now|finally|overall|the|my|our|final|correct|best"
    r"|most likely"
    r"|I (?:still )?(?:think|believe|agree|conclude)|we (?:conclude|agree)|that)\b)*",
    re.IGNORECASE,
)
"""What most often stands before a statement, and never changes whose it is."""

CLAUSE_START = _pattern(r"[,;:\u2013\u2014]", r"\b(?:so|therefore|thus|hence|because|since|but)\b")
COURTESY = _pattern(
    r"\b(?:agree|concur)\w* (?:\w+ )?with (?:you|your \w+|my partner)(?:'s \w+)?(?: that)?",
    r"\b(?:you(?:'re| are)|your \w+ (?:is|are|looks)|my partner is) (?:\w+ ){0,2}(?:right|correct)(?: that)?",
    r"\bthank(?:s to)? you\w*",
    r"\bI(?:'d| would) (?:say|conclude)(?: that)?",
    r"\b(?:as|like) you (?:said|say|noted|wrote)",
)
"""Speaks of the partner and endorses: what follows is the speaker's own."""

CONDITION = _pattern(
    r"\b(?:if|whether|unless|suppose|supposing|assume|assuming|imagine|in case|otherwise"
    r"|although|though)\b",
    r"\bfor (?:example|instance)\b",
    r"\b(?:in (?:that|this|which|either|such a|one) case|under (?:this|that|these|one)|either)\b",
    r"\be\.g\.",
)
_ANOTHER = _any(
    *("you", "your", "partner", "partner's", "he", "she", "they", "someone", "some", "others?", "people"),
    *("student", "teammate", "colleague", "peer", "agent", "manual", "textbook", "key", "nobody", "no one"),
)
_SAYS = _any(
    *(
        r"sa(?:id|ys?)",
        "thinks?",
        "thought",
        r"claim\w*",
        r"suggest\w*",
        r"argu\w+",
        r"believe\w*",
        r"state\w*",
    ),
    *(r"answer\w*", "wrote", "writes?", r"propos\w+", r"conclu\w+", "got", "gave", "gives?", "mean", "feel"),
    *(
        r"insist\w*",
        r"assert\w*",
        r"mention\w*",
        r"maintain\w*",
        r"ask\w*",
        "tell",
        "told",
        "chose",
        "choose",
    ),
    *(r"pick\w*", r"select\w*", r"arriv\w+", r"want\w*", r"assum\w+"),
)
SAID_BY_ANOTHER = _pattern(
    rf"\b{_ANOTHER}\b[^,;]{{0,80}}?\b{_SAYS}\b(?:[^,;]*|[^;]{{0,30}}[:,]\s*(?:that\s*)?)$",
    r"\b(?:according to|per|in|by|from|under|with) (?:you|your|my partner|his|her|their)\b[^;]*$",
    r"\b(?:your|their|his|her)\W*$",
    r"^\W*(?!(?:so|thus|therefore|hence|conclusion|summary|result|final|finally|overall|solution|verdict|decision"
    r"|answer|reasoning|analysis|explanation|response|note|step)\b)[a-z]+(?: \w)?\s*:[^,;]*$",
)
SAID_BEFORE = _pattern(
    r"\bI(?:'d| had| have)?\b[^,;]{0,40}?\b(?:said|thought|assumed|believed|guessed|claimed|wrote|suggested"
    r"|proposed|argued|answered|leaning|lean|hoped|suspect\w*|wonder\w*|felt)\b[^,;]*$",
    r"\b(?:initial(?:ly)?|original(?:ly)?|earlier|previous(?:ly)?|at first|first glance|before|used to)\b"
    r"[^,;]*$",
)
_DOUBT = _any(
    *("not", "never", "nor", "neither", "cannot", r"doubt\w*", r"disagree\w*", "den(?:y|ies)", "wrong"),
    *("incorrect", "mistaken", "unclear", "unsure", "uncertain", "instead of", "rather than", "maybe"),
    *("perhaps", "possibly", "might", "may", "could", "would", "seems?", "appears?", "tempting", "tempted"),
    *("why do", "how", "claim", "idea", "view", "suggestion", "assertion", "notion", "possibility"),
    *(
        "assumption",
        "hypothesis",
        "no way",
        "no longer",
        "want",
        "wish",
        "hope",
        "looks like",
        "only when",
        "only where",
    ),
)
DOUBTED = _pattern(rf"(?:\b{_DOUBT}\b|n't\b)[^,;]*$")
DENIED_BELIEF = _pattern(
    r"(?:\bnot|n't|\bcannot|\bnever)\s+(?:\w+\s+){0,2}(?:think|believe|agree|see|say|accept|convinced|sure"
    r"|certain|mean|follow|imply)\b(?!\s*(?:so\b|with\b|[.:;,]))"
)
TO_DO = _pattern(
    r"\b(?:let me|let's|let us|need to|have to|must|want to|should|can you|could you|please|try|trying"
    r"|going to|before|to)\b[^,;]*\b(?:check|verify|confirm|see|prove|show|explain|test|decide|determine"
    r"|find|work out|compute|get|ensure|argue)\w*\b[^,;]*$"
)
""" "Let me check whether the answer is ...": announced, not stated."""

TAG_QUESTION = _pattern(
    r",?\s*(?:(?:and|so|but)\s+)?(?:do you (?:agree|concur)|what do you think|does (?:that|this) (?:make"
    r" sense|match)|(?:can|could) you (?:check|confirm|verify)|what did you get|what is yours)\b[^?]*\?\s*$"
)
"""Asks the partner for a view; leaves the statement before it standing."""

_VALUE = r"\W*(?:\w+[^\w\s]*)?\s+(?:-\s+|but )*"
DISOWNED = _pattern(
    r"[^,;]{0,40}?,?\s+(?:as )?(?:you|he|she|they|my partner) (?:said|say|claim|think|thought|suggest"
    r"|wrote)\b",
    r"[^,;]{0,40}?,?\s+(?:according to (?:you|my partner)|(?:in|from|by) your)\b",
    rf"{_VALUE}(?:is|was|are|isn't|seems|looks|can't be|cannot be) (?:\w+ )?(?:wrong|incorrect|not|false"
    r"|mistaken|impossible|a mistake|ruled out|my|your|what)\b",
    rf"{_VALUE}(?:if|only if|unless|provided|assuming|would)\b",
)
"""Behind the value: gives it to another, denies it, or makes it conditional."""

_LEAD = r"[\s$:(\[\\]*$"
_FILLER = _any(
    *(
        "be",
        "equal",
        "equals",
        "to",
        "the",
        "an?",
        "just",
        "simply",
        "really",
        "actually",
        "correct",
        "right",
    ),
    *("final", "answer", "value", "result", "is", "it's", "it", "that", "of", "been", "boxed"),
)
BOX_MARKS = (
    *("not", "n't", "never", "nor", "neither", "cannot", "rather", "instead", "doubt", "disagree", "wrong"),
    *(
        "incorrect",
        "mistaken",
        "false",
        "you",
        "partner",
        "key",
        "textbook",
        "manual",
        "some",
        "others",
        "glance",
    ),
    *("i ", "my ", "such as", "like", "e.g.", "for ", "form"),
)
BOX_DENIED = _pattern(
    rf"(?:\bnot|n't|\bnever|\bcannot|\brather than|\binstead of|\bneither|\bnor)\s+(?:{_FILLER}\s+)*{_LEAD}",
    r"(?:\bnot|n't|\bcannot|\bnever)\s+(?:\w+\s+){0,2}(?:think|believe|agree|accept|convinced|say)\b[^,;]*$",
    r"\b(?:doubt|disagree|(?:wrong|incorrect|mistaken|false) (?:to|that|claim|answer))\b[^,;]*$",
    r"\b(?:you|partner|key|textbook|manual|someone|somebody|others)\s+(?:\w+\s+)?(?:sa(?:id|ys?)|claim\w*|suggest\w*"
    r"|wrote|writes?|thinks?|thought|propos\w+|answer\w*|conclu\w+|argu\w+|stat\w+|mention\w*|got|gave|gives"
    r"|insist\w*|maintain\w*|asked)\b[^,;]*$",
    r"\b(?:your|partner's) (?:\w+ ){0,3}(?:answer|box|result|value|solution|conclusion|claim)\b[^,;]*$",
    rf"\b(?:your|partner's){_LEAD}|\b(?:according to|per|by) (?:you|your|my partner)\b[^,;]*$",
    r"\bI\b[^,;]{0,40}\b(?:thought|assumed|guessed|believed|said|wrote|answered|claimed|suspected)\b[^,;]*$",
    r"\b(?:my (?:first|initial|original|earlier|previous)|at first glance)\b[^,;]*$",
    rf"\bif you\b.*\byou(?:'d| would| will|'ll)? get{_LEAD}",
    rf"\b(?:such as|like|e\.g\.|for example|for instance|(?:of|in) the (?:form|format)){_LEAD}",
)
"""Before a box that is denied, doubted, another's, given up or a pattern. Other words leave it standing."""
BOX_DISOWNED = _pattern(
    r"\W{0,6}\s(?:is|was|isn't|seems|looks) (?:\w+ )?(?:wrong|incorrect|not|false|mistaken|impossible"
    r"|a mistake|my|your)\b",
    r"\W{0,6}\s(?:can't|cannot|couldn't|could not) be\b",
    r"\W{0,6}\s(?:as )?(?:you|he|she|they|my partner) (?:said|say|says|claim|think|thought|suggest|wrote)\b",
    r"\W{0,6}\s(?:according to (?:you|my partner)|(?:in|from|by) your)\b",
)
"""The same behind a box."""

# No answer, an answer taken back, agreement without an answer.

UNSURE_MARKS = (
    *("sure", "certain"),
    *("don't", "do not", "can't", "cannot", "could not", "couldn't", "unable", "to answer", "no "),
    *("known", "determined", "decided"),
)
_ARTICLE_ANSWER = r"(?:an|the|a|any) (?:\w+ )?answer\b"
UNSURE = _pattern(
    r"\bnot (?:\w+ )?(?:sure|certain) yet\b",
    r"\b(?:I|we)(?:'m| am|'re| are) (?:\w+ )?(?:undecided|(?:not (?:[\w%]+ )?(?:sure|certain)|unsure"
    r"|uncertain)"
    r"(?=\s*(?:[.,;!\n]|$|yet|but|though|which|what|whether|how to|either|at (?:this|the)"
    r"|(?:about|of) (?:the|my|our|which) (?:\w+ )?(?:answer|option|choice))))",
    r"\b(?:I|we) (?:do not|don't) (?:\w+ )?know(?:[.,;!]| yet| the (?:\w+ )?answer| which)",
    rf"\b(?:I|we) (?:do not|don't) (?:\w+ )?have {_ARTICLE_ANSWER}",
    r"\b(?:I|we) (?:cannot|can't|could not|couldn't|am unable to|are unable to) (?:\w+ )?(?:decide\b"
    rf"|(?:determine|give|provide|find|name|settle on) {_ARTICLE_ANSWER})",
    r"\bimpossible to answer\b",
    r"\b(?:answer|location|place|position|whereabouts) (?:is|remains) (?:still )?"
    r"(?:unknown|not (?:yet )?(?:known|determined|decided))\b",
    r"\bit is (?:still )?(?:unknown|not yet (?:known|determined|decided))(?=\W*$|\s+where\b)",
    r"\bno (?:final |definite )?answer (?:yet|I can (?:give|provide))\b",
)

TAKEN_BACK_MARKS = (
    *("wait", "hold on", "scratch", "actually", "second thought", "take", "let me", "let us", "let's"),
    *("not", "n't", "wrong", "incorrect", "mistake", "error", "thought", "i mean", "correction", "edit"),
    *("or so", "i now", "now i", "convinced", "changed", "prefer"),
)
TAKEN_BACK = _pattern(
    *(r"\bwait\b", r"\bhold on\b", r"\bscratch that\b", r"\bactually,? no\b", r"\bon second thought"),
    r"\bI take (?:that|it) back\b|\bor so (?:I thought|it seems)\b|\bI meant?\b",
    *(r"\bcorrection\b", r"\bedit\b:", r"\bconvinced me\b", r"\bchanged my mind\b", r"\bI prefer\b"),
    r"\b(?:I now|now I) (?:think|believe|prefer|lean|see)\b",
    r"\blet(?: me|'s| us) (?:re-?(?:check|consider|calculate|compute|examine|evaluate|think|read|visit|do)"
    r"|double-check|check|verify|think)\b",
    r"\b(?:this|that|it|which|the answer)(?:'s| is| was| can)?(?: \w+)?(?: not|n't)(?: be)? (?:the )?"
    r"(?:correct|right)\b",
    r"\b(?:that|this)(?:'s| is) (?:wrong|incorrect)\b",
    r"\bthe answer is (?:wrong|incorrect)\b",
    r"\bI (?:made|see) (?:a|an|my) (?:\w+ )?(?:mistake|error)\b",
)

_REDO = r"re-?(?:calculat|check|consider|examin|comput|evaluat|think|visit|read)\w*"
REVISION = _pattern(
    r"\b(?:wait|actually|on second thought|good point|convinced|changed?|changing|instead|sorry)\b",
    r"\b(?:mistaken?|mistakes|error|wrong|incorrect|not (?:the )?(?:correct|right)|correction)\b",
    rf"\b(?:{_REDO}|revis\w+|apolog\w+|(?:I|we)(?: \w+)? agree|you(?:'re| are) (?:\w+ )?right)\b",
)
"""Between two statements: why the later one replaces the earlier one."""

AGREES_MARKS = (
    "agree",
    "concur",
    *(f"{end} {word}" for end in ("s", "re", "ly") for word in ("right", "correct")),
)
AGREES = _pattern(
    r"\b(?:I|we)(?: \w+)? (?:agree|concur)\b",
    r"\b(?:you(?:'re| are)|that's|that is) (?:\w+ )?(?:right|correct)\b",
)

NOT_SURE = re.compile(
    r"\W*(?:(?:I am|I'm|we are|we're|(?:it|that|this|the (?:message|speaker|answer|location|place)) is) )?"
    r"(?:still )?(?:not (?:\w+ )?(?:sure|certain|known|determined|decided|clear)|undetermined|unclear"
    r"|unsure|uncertain|undecided|tbd|to be (?:determined|decided)"
    r"|no (?:final |definite )?answer|none|n/a|unknown|(?:nobody|no one) knows"
    r"|(?:I |we )?(?:do not|don't) (?:\w+ )?know)"
    r"(?: (?:yet|submitted|given|stated))*\W*|[^\w?]*\?\W*"
    r"|\W*(?:(?:it|that|this) )?has not (?:yet )?been (?:determined|decided|established)(?: yet)?\W*",
    re.IGNORECASE,
)
"""The whole of what stands where an answer would, when none is submitted."""

DOUBT = re.compile(
    r"\b(?:not (?:\w+ )?(?:sure|certain)|unsure|uncertain|undecided|(?:do not|don't) (?:\w+ )?know)\b",
    re.IGNORECASE,
)
"""Words that no answer of mathematics holds."""

ERROR = re.compile(r"\W*(?:error|exception|traceback|\w+error)\b\s*[:(]", re.IGNORECASE)
