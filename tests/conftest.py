"""What tests of several parts share."""

import pytest

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}<|assistant|>"
    "{{ message['content'] }}<|end|>{% else %}<|user|>{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<unk>")


@pytest.fixture(scope="session")
def save_tokenizer():
    """Writes a tokenizer of whole words with a chat template into a folder; returns ids by word."""

    def save(words, folder):
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
        raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=raw,
            bos_token="<s>",
            eos_token="<|end|>",
            pad_token="<pad>",
            unk_token="<unk>",
            additional_special_tokens=["<|user|>", "<|assistant|>"],
        )
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)
        return vocabulary

    return save
