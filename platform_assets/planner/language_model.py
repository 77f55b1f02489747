"""Base models, adapters and tokenizers, loaded from what a folder says of them; every failure names its remedy.

Only safetensors are read, and no code that comes with a model is run. What does not belong here: what the folders say
(`planner.model_documents`), the prompts' text (`planner.prompt`), decoding, training.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from platform_assets.planner import base_identity
from platform_assets.planner.model_documents import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    BASE_FOLDER,
    FILES,
    NF4,
    BaseModel,
    Decoding,
    ModelError,
    read_base,
    read_planner,
)  # fmt: skip
from platform_assets.planner.prompt import PromptFormat


def default_device() -> str:
    """CUDA where there is some, else the processor: what replay and serving use unless they are told otherwise."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_base(
    folder: Path, device: str = "cpu", quantization: str | None = None, dtype: str | None = None
) -> tuple[Any, Any]:
    """The (model, tokenizer) of a base folder; `quantization` "nf4" needs CUDA, `dtype` overrides base.json's.

    Raises ModelError, also where a referenced folder is no longer the one that was referenced.
    """
    import torch
    from transformers import AutoModelForCausalLM

    base = read_base(folder)
    options: dict[str, Any] = {"dtype": getattr(torch, dtype or base.dtype), "use_safetensors": True}
    if quantization is not None:
        options |= {"quantization_config": _quantization(quantization), "device_map": {"": device}}
    _check_device(device)
    tokenizer = load_tokenizer(folder)
    model = _pretrained(AutoModelForCausalLM, base, folder, **options)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise ModelError(
            f"the tokenizer of {base.model_base} knows {len(tokenizer)} tokens, its model "
            f"{model.get_input_embeddings().num_embeddings}: they do not belong together, take both from one checkpoint"
        )
    return (model if quantization else model.to(device)), tokenizer


def load_planner(model_folder: Path, device: str = "cpu", dtype: str | None = None) -> tuple[Any, Any, PromptFormat]:
    """The (peft model, tokenizer, prompt format) of a model folder, ready to answer; raises ModelError.

    The base is loaded as planner.json says, quantised where the device can; `dtype` loads it whole, in that type.
    """
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
    quantization = None if dtype else _quantization_on(device, document.decoding)
    model, tokenizer = load_base(model_folder / BASE_FOLDER, device, quantization, dtype or document.decoding.dtype)
    try:
        with quiet_adapters():
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
    base_identity.require_unchanged(base)
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
            base_identity.require_weights(Path(source))
    elif revision:
        options |= {"revision": revision}
    try:
        with without_progress_bars():
            return kind.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise ModelError(base_identity.remedy(source, revision, error)) from error


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Reads and writes weights without transformers' bars, of which a log keeps every frame."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def quiet_adapters() -> Iterator[None]:
    """Puts an adapter on a model without two warnings that do not concern the planner's."""
    with warnings.catch_warnings():
        # Of merging an adapter into weights that the output shares with the embeddings: `merge` takes them apart first.
        tied = r"Model has `tie_word_embeddings=True` and a tied layer is part of the adapter"
        warnings.filterwarnings("ignore", tied, UserWarning)
        # peft looks the model over by a name that transformers will drop: theirs to agree on.
        warnings.filterwarnings("ignore", r"`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def _check_device(device: str) -> None:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(
            f"device {device} is not there, torch sees no CUDA: name none, or cpu, or install a CUDA torch"
        )


def _quantization_on(device: str, decoding: Decoding) -> str | None:
    """How the base of an adapter is quantised on a device: as it was in training, or told that it is not."""
    if not decoding.quantization:
        return None
    if device.startswith("cuda") and _can_quantize():
        return decoding.quantization
    logging.getLogger(__name__).warning(
        "the adapter was trained over a base in %s, which needs CUDA and bitsandbytes: the base is loaded whole, in %s, and "
        "plans can differ from those over the quantised one",
        decoding.quantization, decoding.dtype,
    )  # fmt: skip
    return None


def _can_quantize() -> bool:
    import torch

    return torch.cuda.is_available() and find_spec("bitsandbytes") is not None


def _quantization(name: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if name != NF4:
        raise ModelError(f"quantization {name!r} is not known: {NF4}, or none")
    if not _can_quantize():
        raise ModelError("quantization nf4 needs a CUDA device and bitsandbytes: train without it, or install both")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=NF4,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
