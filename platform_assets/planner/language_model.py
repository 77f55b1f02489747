"""Base models, adapters and tokenizers, loaded from what a folder says of them; every failure names its remedy.

Only safetensors are read, and no code that comes with a model is run. What does not belong here: what the folders say
(`planner.model_documents`), the prompts' text (`planner.prompt`), decoding, training.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from platform_assets.core.digest import digest_files, sha256_of
from platform_assets.planner.model_documents import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    BASE,
    BASE_FOLDER,
    FILES,
    REFERENCE,
    BaseModel,
    ModelError,
    read_base,
    read_planner,
)  # fmt: skip
from platform_assets.planner.prompt import PromptFormat

__all__ = [
    "BaseModel", "ModelError", "completion_ids", "load_base", "load_planner", "load_tokenizer", "prompt_ids", "read_base", "write_reference",
]  # fmt: skip

NF4 = "nf4"


def write_reference(model_base: str, revision: str, output: Path, dtype: str = "float32") -> dict[str, Any]:
    """Write the base folder of a local folder or a hub id, whose weights stay where they are; returns base.json.

    A folder's digest covers its files; a hub id's its commit, which a branch name or no revision is resolved to.
    """
    if (source := Path(model_base)).is_dir():
        model_base, revision, digest = str(source.resolve()), "", _digest(source)
    else:
        revision = _commit(model_base, revision)
        digest = hashlib.sha256(f"{model_base}@{revision}".encode()).hexdigest()[:32]
    document = asdict(BaseModel(model_base, revision, REFERENCE, digest, dtype))
    output.mkdir(parents=True, exist_ok=True)
    (output / BASE).write_text(json.dumps(document, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    return document


def load_base(
    folder: Path, device: str = "cpu", quantization: str | None = None, dtype: str | None = None
) -> tuple[Any, Any]:
    """The (model, tokenizer) of a base folder; `quantization` "nf4" needs CUDA, `dtype` overrides base.json's."""
    import torch
    from transformers import AutoModelForCausalLM

    base = read_base(folder)
    tokenizer = load_tokenizer(folder)
    options: dict[str, Any] = {"dtype": getattr(torch, dtype or base.dtype), "use_safetensors": True}
    if quantization is not None:
        options |= {"quantization_config": _quantization(quantization), "device_map": {"": device}}
    model = _pretrained(AutoModelForCausalLM, base, folder, **options)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise ModelError(
            f"the tokenizer of {base.model_base} knows {len(tokenizer)} tokens, its model "
            f"{model.get_input_embeddings().num_embeddings}: they do not belong together, take both from one checkpoint"
        )
    return (model if quantization else model.to(device)), tokenizer


def load_planner(model_folder: Path, device: str = "cpu") -> tuple[Any, Any, PromptFormat]:
    """The (peft model, tokenizer, prompt format) of a model folder, ready to answer; raises ModelError."""
    from peft import PeftModel

    document, base = read_planner(model_folder), read_base(model_folder / BASE_FOLDER)
    if document.base_digest != base.digest:
        raise ModelError(
            f"the adapter in {model_folder} was trained on the base model with digest {document.base_digest}, the base "
            f"beside it has {base.digest}: give the base it was trained on, or train the adapter again"
        )
    adapter = model_folder / ADAPTER
    if not (adapter / ADAPTER_WEIGHTS).is_file():
        raise ModelError(f"{adapter} holds no {ADAPTER_WEIGHTS}: the training did not end, run it again")
    model, tokenizer = load_base(model_folder / BASE_FOLDER, device, dtype=document.decoding.dtype)
    try:
        tuned = PeftModel.from_pretrained(model, str(adapter), torch_device=device)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"the adapter in {adapter} does not fit its base model: {str(error)[:500]}") from error
    return tuned.eval(), tokenizer, document.form


def merge(model: Any) -> Any:
    """The adapter added into the base's weights: the same answers, half as many multiplications.

    A base whose output layer shares its weights with the input embeddings is given an output layer of its own first: adding
    an adapter of the output into the shared weights would change what the model reads.
    """
    import torch

    output = model.get_output_embeddings()
    shared = getattr(output, "base_layer", output)
    if shared is not output and shared.weight is model.get_input_embeddings().weight:
        shared.weight = torch.nn.Parameter(shared.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = False
    return model.merge_and_unload()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base folder, which has an end token and a chat template, and is a fast one."""
    from transformers import AutoTokenizer

    base = read_base(folder)
    tokenizer = _pretrained(AutoTokenizer, base, folder)
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {base.model_base} has no tokenizer.json, which constrained decoding reads")
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"the tokenizer of {base.model_base} names no end token: set eos_token in tokenizer_config.json"
        )
    _check_template(tokenizer, base.model_base)
    return tokenizer


def prompt_ids(tokenizer: Any, prompt_text: str) -> list[int]:
    """The tokens of a prompt inside the chat template, up to where the answer begins."""
    _check_template(tokenizer, tokenizer.name_or_path)
    messages = [{"role": "user", "content": prompt_text}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


def completion_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of an answer, with the end token."""
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def _check_template(tokenizer: Any, name: str) -> None:
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {name} has no chat template: take an instruction-tuned model, or put the template of its "
            "family beside the tokenizer as chat_template.jinja"
        )


def _pretrained(kind: Any, base: BaseModel, folder: Path, **options: Any) -> Any:
    """`from_pretrained` of a model or tokenizer class, its errors told with their remedy."""
    source, revision = (str(folder), "") if base.kind == FILES else (base.model_base, base.revision)
    if Path(source).is_dir():
        options |= {"local_files_only": True}
        if "use_safetensors" in options:
            _check_weights(source, [path.name for path in Path(source).iterdir()])
    elif revision:
        options |= {"revision": revision}
    try:
        return kind.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise ModelError(_remedy(source, revision, error)) from error


def _check_weights(source: str, names: list[str]) -> None:
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth")))
    if pickled:
        raise ModelError(
            f"{source} holds its weights as {pickled[0]}, a pickle, which can run code when it is read: convert them with "
            "model.save_pretrained(folder, safe_serialization=True) where you trust them, and give that folder"
        )
    raise ModelError(f"{source} holds no *.safetensors: give the folder that save_pretrained wrote")


def _remedy(source: str, revision: str, error: Exception) -> str:
    said = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    at = f"{source} at {revision}" if revision else source
    if Path(source).is_dir():
        return f"the model in {at} could not be loaded ({said}): is it what save_pretrained wrote for a causal language model?"
    if source.startswith(("/", ".", "~")):
        return f"model_base {source} is not a folder here: correct the path, or mount it where the training runs"
    return (
        f"model_base {at} is neither a local folder nor a model that the hub gave ({said}): correct the id and revision; "
        "without a connection download it elsewhere and give its folder; a gated model needs HF_TOKEN"
    )


def _commit(model_base: str, revision: str) -> str:
    """The commit that a hub id's revision means now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.errors import HTTPError as Unanswered  # pyright: ignore[reportPrivateImportUsage]

    if model_base.startswith(("/", ".", "~")):
        raise ModelError(_remedy(model_base, revision, FileNotFoundError(model_base)))
    try:
        return HfApi().model_info(model_base, revision=revision or None, timeout=30).sha or ""
    except (HFValidationError, OfflineModeIsEnabled, Unanswered, OSError) as error:
        raise ModelError(_remedy(model_base, revision, error)) from error


def _digest(folder: Path) -> str:
    """Over all files of a folder but hidden ones, which are not the model's."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    _check_weights(str(folder), [path.name for path in paths])
    names = {str(path.relative_to(folder)): path for path in paths}
    return digest_files((name, sha256_of(path)) for name, path in names.items() if not name.startswith("."))


def _quantization(name: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if name != NF4:
        raise ModelError(f"quantization {name!r} is not known: {NF4}, or none")
    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        raise ModelError("quantization nf4 needs a CUDA device and bitsandbytes: train without it, or install both")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=NF4,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
