"""The words by which servers say why they refuse: one table of patterns, with who says so.

A pattern catches the kind of sentence, not one server's spelling of it: what is said about a length, a model,
a balance or a role varies from release to release. The sentences themselves, with their sources, stand in
`tests/data/refusals/refusals.jsonl`.
"""

from __future__ import annotations

import re


def _any(*patterns: str) -> re.Pattern[str]:
    """One pattern of all; the comments name who says so. Spaces stand for any white space.

    What repeats without bound may not stand before anything that varies: the search would be quadratic.
    """
    spaced = (pattern.replace(" ", r"\s+") for pattern in patterns)
    return re.compile("|".join(spaced), re.IGNORECASE | re.DOTALL)


_CONTEXT = (
    r"(?:context|max_model_len|max_seq_len|max_num_tokens|max_input_len|n_ctx|session_len|model len(?:gth)?"
    r"|model limit|sequence length|(?:token|prompt|input|message)s? limit|(?:input|prompt) (?:token )?length"
    r"|(?:input |message |prompt )tokens|tokens allowed)"
)
_TEXTS = r"(?:prompts?|inputs?|messages|conversation|context|query|history)"

OVERFLOW = _any(
    # codes of OpenAI, Azure, Groq, llama.cpp, LiteLLM, Anthropic
    r"context_length_exceeded|exceed_context_size",
    r"context_?window_?(?:exceeded|limit)|string_above_max_length",
    # OpenAI, vLLM, Mistral, DeepSeek, OpenRouter, xAI
    r"max(?:imum)? (?:context|prompt|sequence|input) (?:token )?(?:length|size|window|len)\b",
    # vLLM, llama.cpp, LM Studio, Ollama, MiniMax
    r"context (?:length|size|window|limit)\b.{0,60}?(?:exceed|overflow|\bonly\b|too small|too short"
    r"|reached|\bis \d)",
    # llama.cpp, SGLang, Anthropic, Ollama, TensorRT-LLM, LM Studio, DeepInfra, Moonshot, Volcengine
    r"(?:exceed\w{0,3}|beyond|surpass\w{0,3}|(?:greater|larger|longer|bigger|higher|more) than|over the"
    rf"|(?:fit|fits) (?:in|into|within)|too (?:large|long|big) for).{{0,60}}?{_CONTEXT}\b",
    # Anthropic, Fireworks, Bedrock, Ollama, vLLM
    rf"\b{_TEXTS}\b[^.:;]{{0,60}}?\btoo (?:long|large|big)\b",
    # TabbyAPI, SGLang, GitHub Copilot
    rf"\b{_TEXTS} (?:token )?(?:length|count|size)\b.{{0,60}}?(?:exceed|than|up to)",
    # Groq, Cerebras, Azure, SGLang
    rf"reduce (?:the|your) (?:length|size|number)\b.{{0,40}}?{_TEXTS}\b",
    # vLLM, SGLang, LM Studio
    r"(?:use|provide|send|try|with) (?:a )?shorter (?:prompt|input|message|conversation)s?",
    # TGI, Together
    r"inputs?\W{1,3} ?(?:tokens\b.{0,40}?must be|must have less|must be less)",
    # Azure, OpenAI, Cohere
    r"\btokens exceeds? (?:the )?(?:configured )?(?:limit|maximum)|too many (?:\w+ )?tokens\b",
    # Gemini
    r"input token count\b.{0,60}?(?:exceed|up to)|tokens? count of \d+ exceeds",
    # watsonx
    r"(?:number of )?input tokens\b.{0,30}?(?:cannot|can't|must not|may not|should not) exceed",
    # Zhipu, DashScope
    rf"{_TEXTS} exceeds? (?:the )?max(?:imum)? (?:length|size)|range of input length",
    # LM Studio, llama.cpp
    r"context (?:the )?overflow|out ?of ?context|not enough context|n_ctx too small",
    # Perplexity, Snowflake, AI21
    r"(?:exceeds? (?:the )?)max(?:imum)? (?:number of )?tokens|\bmax tokens of \d+ exceeded",
    rf"\b{_TEXTS} has \d+ tokens\b.{{0,60}}?(?:exceed|more than|maximum|limit)",
    # Bedrock, Vertex, Anthropic, Azure
    r"expected maxLength: \d+, actual",
    r"\b(?:request|payload)(?: entity| body| payload)? (?:size )?(?:is )?(?:too (?:large|big)\b"
    r"|exceeds? (?:the )?(?:max|limit|size))",
    # Zhipu, Baidu, Hunyuan
    r"prompt\s*超长|超过.{0,20}(?:上下文|长度)|(?:长度|输入|上下文|文本).{0,8}(?:超过|超出|超长|过长)",
)

OVERSIZED = _any(
    # Groq (413), OpenAI (429)
    r"request too large for .{0,200}?tokens per|tokens must be reduced in order to run",
)
"""A request larger than all that the account may send in a minute: it never fits, however long one waits."""

OUTPUT_LIMIT = _any(
    # Anthropic, Groq
    r"maximum (?:allowed )?(?:number of )?(?:output|completion) tokens",
    # OpenAI, vLLM, DeepSeek, Groq
    r"max_(?:completion_|new_|output_)?tokens\W{0,4}(?:\d+\W{0,4})?(?:is too large|(?:is|must|cannot"
    r"|should)\b"
    r".{0,30}?(?:less|no more|at most|not exceed|greater than|larger than|exceed|<=?) ?)"
    r"|max_(?:completion_)?tokens value, the valid range",
    # OpenAI, Gemini
    r"supports? (?:at most|up to) \d+ (?:completion|output) tokens|(?:fewer|less) output tokens",
    # Gemini
    r"max_?output_?tokens?\b.{0,60}?(?:exceed|range|between|must be|less than)",
)
"""`max_tokens` above what the model may write."""

FILTER = _any(
    # OpenAI, Azure
    r"content_filter|ResponsibleAIPolicyViolation|content[_ ]policy|content management policy|cyber_policy",
    # DashScope, Zhipu, Volcengine, MiniMax, Hunyuan, DeepSeek
    r"data_?inspection_?failed|new_sensitive|sensitive(?:_words|[_ ]?content| information)|敏感|违规"
    r"|content exists risk",
    # OpenRouter
    r"requires moderation|\b(?:request|prompt|input|output|content|message)s?\b.{0,20}?\bflagged\b",
    # OpenAI, Anthropic, xAI
    r"invalid_prompt|content filtering policy|violat\w{1,5} (?:our |the )?usage (?:policy|guidelines)",
    # xAI, Gemini, Bedrock, Mistral
    r"safety_check|prohibited_content"
    r"|blocked (?:by|due to|because of) (?:\w+ ){0,2}?(?:safety|guardrail|moderation|content)",
)

CREDIT = _any(
    # OpenAI, DashScope
    r"insufficient_quota|billing_(?:hard_limit|not_active)|billing (?:hard )?limit|check your billing",
    # OpenAI
    r"exceeded your current (?:\w+ )?quota|account is not active|credit_balance_exhausted"
    r"|spend_limit_exceeded",
    # Anthropic
    r"credit balance|billing_error|reached your specified (?:\w+ )?api usage limits"
    r"|usage limits?\b.{0,40}?regain",
    # DeepSeek, OpenRouter, Moonshot, Together, SiliconFlow
    r"(?:insufficient|not enough|no|low|out of|without)(?: \w+)? (?:credits?|balance|funds?|quota)\b",
    # xAI, OpenRouter, Groq
    r"(?:used|spent|exhausted|depleted|ran out of)\b.{0,30}?\b(?:credits?|balance|funds)\b",
    # many
    r"(?:credits?|balance|funds|allowance)\b.{0,20}?(?:exhausted|depleted|expired|used up|ran out|run out"
    r"|insufficient|too low)",
    # xAI, Fireworks, Together, Groq
    r"spend(?:ing)? (?:limit|cap|alert)|credit limit|monthly (?:\w+ )?(?:limit|budget|quota)",
    # OpenRouter
    r"requires more credits|can only afford|key limit exceeded",
    # xAI, Anthropic, Together
    r"(?:purchase|buy|add) (?:more )?credits|raise your spending|recharge|top[ -]?up",
    # Fireworks, Moonshot, DashScope, Mistral
    r"past invoices|is suspended\b|arrear|overdue|inactive subscription",
    # DashScope, Cohere, Volcengine, LiteLLM
    r"free (?:tier|quota|allocation|credits?)\b.{0,40}?(?:exhausted|used up|expired|ended)"
    r"|limited to \d+ [\w\s]{0,20}(?:/|per)[ ]?month|setlimitexceeded"
    r"|reached the set inference limit|over budget|budget[_ ](?:has been |was )?exceeded|exceeded_?budget",
    # Zhipu, SiliconFlow
    r"余额不足|欠费|额度.{0,6}(?:不足|用完|用尽|耗尽)",
    # HTTP 402, Hugging Face
    r"payment (?:is )?required|exceeded your (?:monthly|included)\b",
)
"""Used-up credit: no pause helps. Per-minute limits are told in similar words; see `PASSING`."""

MOMENT = _any(
    # many
    r"rate[ _-]?limit|too many requests|(?:per[ _-]?|/ ?)(?:min(?:ute)?|sec(?:ond)?)\b"
    r"|per(?:minute|second)|\b(?:[RT]PM|QPS|RPS)\b",
)
"""A limit of requests or tokens by time, by its own words."""

PASSING = _any(
    # OpenAI, Groq, Azure, Together
    r"rate[ _-]?limit|too many (?:requests|concurrent)|(?:requests|tokens|queries)[ _]per[ _](?:min|sec)",
    # Gemini, Moonshot
    r"(?:per[ _-]?|/ ?)(?:min(?:ute)?|sec(?:ond)?)\b|per(?:minute|second)|\b(?:RPM|TPM|QPS|RPS)\b",
    # Mistral, DeepInfra, Anthropic
    r"capacity|overloaded|concurren|slow down|throttl|temporar",
)
"""A limit of the moment, where a refusal without status 429 tells it."""

PER_DAY = _any(
    # Gemini, OpenRouter, Groq, OpenAI
    r"per[ _-]?day|PerDay|ByDay\b|\bdaily\b|\b(?:RPD|TPD)\b|for today",
)

DAY_OVER = _any(
    # Cloudflare, Cerebras, Bedrock
    rf"(?:limit|quota|allocation|exceed|too many|used up)\w{{0,3}}\b.{{0,80}}?(?:{PER_DAY.pattern})"
    rf"|(?:{PER_DAY.pattern}).{{0,80}}?\b(?:limit|quota|allocation|exceed|used up)",
)
"""A used-up limit of the day, where another status than 429 tells it."""

KEY = _any(
    # Gemini, OpenAI, xAI
    r"api[ _-]?key.{0,40}?(?:not valid|invalid|incorrect|missing|expired|revoked)",
    r"(?:invalid|incorrect|missing|expired|wrong|no).{0,24}?api[ _-]?key|api_key_invalid"
    r"|invalid_api_key",
    # Anthropic, Mistral
    r"authentication_error|invalid x-api-key|\bunauthorized\b"
    r"|invalid (?:authentication|credentials|token)",
    # Gemini, OpenAI, Groq
    r"\b(?:location|country|region|territory)\b.{0,30}?not supported"
    r"|\b(?:account|organi[sz]ation|project)\b.{0,20}?(?:restricted|disabled|deactivated|banned|blocked)",
)

MODEL = _any(
    # codes
    r"model_?not_?(?:found|available|supported|exist)|(?:unknown|invalid|unavailable)_model|model_decommissioned",
    # Azure
    r"DeploymentNotFound|deployment\b.{0,60}?(?:does not exist|not found)",
    # OpenAI, vLLM, Groq, Gemini, Ollama, LM Studio, DeepSeek, xAI, Cohere
    r"\bmodels?\b.{0,120}?(?:(?:does|do)(?: not|n't) exist|not exist\b|not (?:be )?found"
    r"|(?:is not|isn't) (?:a valid|valid|available|supported|loaded)"
    r"|not deployed|unloaded|requires terms acceptance|no longer (?:available|supported)|decommissioned"
    r"|(?:has been|was) (?:retired|deprecated|removed|shut down)|end of life)",
    # OpenRouter, LM Studio, Mistral, LiteLLM
    r"not a valid model|(?:unknown|invalid|unsupported|unavailable|unexpected|no such|nonexistent) model\b",
    # Bedrock, LM Studio, Azure
    r"\bmodel (?:id|identifier|name)\b.{0,60}?\binvalid|failed to load (?:the )?model"
    r"|does not work with the specified model|multiple models are loaded",
    # Moonshot, Together
    r"(?:not found|couldn't find|cannot find|could not find) (?:the )?model\b|unable to access model",
    # OpenRouter
    r"no (?:allowed |available )?(?:endpoints|providers|instances) (?:are |were )?(?:found|available)\b",
    # OpenAI, xAI, Anthropic
    r"(?:does not|doesn't|not) have access to (?:the )?model|no access to (?:the )?model",
    # LM Studio, Ollama
    r"no models? (?:is |are )?loaded|try pulling it first",
    # Anthropic
    r"not_found_error\W.{0,60}?model:",
    # Zhipu
    r"(?:模型|model)\s*不存在",
)

NAMED_MODEL = (
    r"(?:(?:does|do)(?: not|n't) exist|not exist\b|not (?:be )?found|not (?:a )?valid|unknown"
    r"|not available|unavailable"
    r"|is not supported|no longer|not deployed|not loaded|decommissioned|invalid)"
)
"""What is said right behind, or before, the name of a model that is not there."""

SYSTEM_ROLE = _any(
    # Gemma, o1-mini, Bedrock
    r"\b(?:system|developer)\W{0,3}(?:role|message|prompt|instruction)s?\b.{0,60}?"
    r"(?:not (?:be )?(?:supported|allowed|enabled|permitted|available|accepted)|n't (?:supported"
    r"|allowed)|unsupported|invalid)",
    # OpenAI, Bedrock, Cohere
    r"(?:(?:does|do)(?: not|n't) (?:support|accept|allow|have)|unsupported|invalid|unexpected|unknown"
    r"|not supported:?)"
    r".{0,30}?\W(?:system|developer)\b",
    # Bedrock
    r"extraneous key \[?system\b",
    # Mistral 7B v0.1, Phi
    r"only (?:the )?[`'\"]?user[`'\"]?(?:,| and) ?(?:and )?[`'\"]?(?:assistant|model)[`'\"]? roles?",
)
ALTERNATION = _any(
    # Mistral, Gemma, Llama 2
    r"(?:roles?|messages?)\b.{0,20}?(?:must|should|need to|have to) (?:be )?alternat"
    r"|alternat\w{1,4} (?:of |between )?(?:user|roles)",
    # Mistral, Perplexity
    r"expected (?:last )?role|(?:first|last) message\b.{0,40}?(?:must|should)"
    r"|must start with (?:a |the )?[`'\"]?user"
    r"|start with the user",
    # DeepSeek, Baidu
    r"(?:successive|consecutive) (?:user|assistant|messages|roles)"
    r"|role of (?:the )?message with (?:even|odd) index",
)
"""Also what a template says that knows no system role and takes the system message for a turn."""

TEMPLATE = _any(
    # llama.cpp, vLLM, SGLang, TGI, LM Studio
    r"jinja|chat[ _-]?template|template ?error|raise_exception",
)
"""A chat template refused the messages. llama.cpp and older servers say so with status 500."""

UNSUPPORTED = _any(
    # OpenAI, Groq, Mistral
    r"unsupported|not support|n't support|unrecogni[sz]ed|\bunknown\b|unexpected"
    r"|extra[ _](?:inputs?|fields?|forbidden)",
    # Anthropic, Google
    r"not (?:be )?(?:permitted|allowed|enabled|available|accepted|recogni[sz]ed|implemented)"
    r"|deprecated|no longer",
    # Moonshot, Anthropic
    r"\bonly (?:the )?(?:default|1|one|a single)\b|may only be"
    r"|must (?:be|equal) (?:set to )?(?:1|one|omitted|unset|null|none|the default)\b(?!\.\d)",
    r"cannot (?:both )?be (?:set|specified|used|changed|combined)"
    r"|(?:does not|doesn't|cannot) (?:accept|take|allow)|please remove|is disabled",
)
"""A request field that the model does not take at all."""

RANGE = _any(
    # many
    r"\bbetween\b|\brange\b|(?:less|greater|lower|higher|smaller|larger) than|at (?:most|least)|[<>]=?"
    r"|exceed|too (?:large|small|high|low)|maximum|minimum|positive",
)
"""A request field whose value is out of range."""

FIELDS: dict[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "seed": "seed",
    "random_seed": "seed",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "return_token_ids": "return_token_ids",
    "stop": "stop",
    "n": "n",
    "n_cmpl": "n",
    "best_of": "n",
    "candidate_count": "n",
    "candidatecount": "n",
    "num_generations": "n",
}
"""Names of the request fields that Coral sends, in all their spellings -> Coral's own name."""

FIELD_WORDS = re.compile(
    r"\b(temperature|top_p|max_completion_tokens|max_(?:new_|output_)?tokens|random_seed|seed"
    r"|(?:top_)?logprobs|return_token_ids|n_cmpl"
    r"|candidate_?count|num_generations)\b",
    re.IGNORECASE,
)
SEVERAL = _any(
    # llama.cpp, Gemini, Groq
    r"(?:only |a single |multiple |several )(?:one )?(?:completion )?(?:choices?|candidates?"
    r"|completions?)\b",
    # OpenAI, Anthropic, vLLM
    r"[`'\"]n[`'\"]|\bn (?:must|should|has to|cannot|can't|is|>|=|>=) ?",
)
"""`n` candidates in one request are not to be had, in words without the field's name or with it."""
