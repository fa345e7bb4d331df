"""The trained model as a folder that transformers, vLLM and the embedded engine load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from coral.training.config import TrainerConfig
from coral.training.encode import Encoder

_WEIGHTS = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
ADAPTER = "adapter"


def export_model(trainer: Any, config: TrainerConfig, encoder: Encoder, output: Path) -> None:
    """Write weights and tokenizer into `output`. All processes call it; the first one writes.

    The weights take the number format of the model that the training began with. Each file moves into place
    when it is complete.
    """
    partial = output / ".partial"
    if trainer.is_world_process_zero():
        shutil.rmtree(partial, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(partial / "saved"))
    if not trainer.is_world_process_zero():
        return
    final = _finish(partial, config)
    write_tokenizer(final, config, encoder)
    if config.lora:
        shutil.rmtree(output / ADAPTER, ignore_errors=True)
        (partial / "saved").replace(output / ADAPTER)
    for path in final.iterdir():
        path.replace(output / path.name)
    shutil.rmtree(partial)


def _finish(partial: Path, config: TrainerConfig) -> Path:
    """The folder with the whole model in its number format: as saved, or merged and cast."""
    from transformers import AutoConfig, AutoModelForCausalLM

    final = partial / "final"
    source = AutoConfig.from_pretrained(config.model).dtype or "float32"
    if config.lora:
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(config.model, dtype="float32")
        merged = PeftModel.from_pretrained(base, str(partial / "saved")).merge_and_unload()
        merged.to(_dtype(source)).save_pretrained(str(final))
    elif _dtype(source) != _dtype("float32"):
        model = AutoModelForCausalLM.from_pretrained(str(partial / "saved"), dtype=source)
        model.save_pretrained(str(final))
    else:
        final.mkdir()
        for pattern in _WEIGHTS:
            for path in (partial / "saved").glob(pattern):
                path.replace(final / path.name)
    return final


def _dtype(name: Any) -> Any:
    import torch

    return getattr(torch, name) if isinstance(name, str) else name


def write_tokenizer(folder: Path, config: TrainerConfig, encoder: Encoder) -> None:
    """The tokenizer's files as they were: training changes none of them."""
    source = Path(config.model).expanduser()
    if source.is_dir():
        for name in _TOKENIZER:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
    else:
        encoder.tokenizer.save_pretrained(str(folder))
    if config.chat_template is not None:
        (folder / "chat_template.jinja").write_text(encoder.tokenizer.chat_template, encoding="utf-8")
