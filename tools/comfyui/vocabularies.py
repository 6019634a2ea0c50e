"""Small tokenizers, for those in the real files or missing from a snapshot of ComfyUI."""

import base64
import importlib
import io
import json
from pathlib import Path

import sentencepiece
import tokenizers
import torch

WORDS = "a an the of in on at with and red blue green house cat dog tree sea photo painting light"


def sentence_pieces() -> torch.Tensor:
    """What Gemma's file carries: a SentencePiece model, here of single letters and few words."""
    model = io.BytesIO()
    lines = [
        WORDS,
        WORDS.upper(),
        "0123456789.,:;!?-'\"()[]<>/ You are an assistant designed to generate superior images",
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 4),
        model_writer=model,
        vocab_size=384,
        hard_vocab_limit=False,
        byte_fallback=True,
        num_threads=1,
        minloglevel=2,
    )
    return torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)


def tekken() -> torch.Tensor:
    """What Mistral's file carries: a vocabulary of bytes alone."""
    special = [
        "<unk>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        *[f"<{index}>" for index in range(5, 17)],
    ]
    special += ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    data = {
        "config": {"default_num_special_tokens": 1000, "default_vocab_size": 131072},
        "vocab": [
            {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode()}
            for byte in range(256)
        ],
        "special_tokens": [{"rank": rank, "token_str": text} for rank, text in enumerate(special)],
    }
    return torch.frombuffer(bytearray(json.dumps(data).encode()), dtype=torch.uint8)


def llama(tree: Path) -> None:
    """Put a tokenizer of bytes where Llama's, which is too large for some snapshots, is missing."""
    path = tree / "comfy/text_encoders/llama_tokenizer/tokenizer.json"
    if path.exists() or not path.parent.exists():
        return
    letters = {
        letter: index
        for index, letter in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    }
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(letters, []))
    pattern = tokenizers.Regex(_llama_pattern())
    words = tokenizers.pre_tokenizers.Split(pattern, "isolated")
    whole = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([words, whole])
    start = "<|begin_of_text|>"
    tokenizer.add_special_tokens([start])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
    )
    tokenizer.save(str(path))


def _llama_pattern() -> str:
    """The pattern that ComfyUI's own tokenizer insists on, where it has one."""
    try:
        module = importlib.import_module("comfy.text_encoders.bpe_tokenizer")
    except ImportError:
        return r"\s?\w+|\s?[^\s\w]+|\s+"
    return str(module._LLAMA_PATTERN)
