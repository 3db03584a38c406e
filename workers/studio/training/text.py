"""Stage `text`: a tokenizer from the captions' words, and a text encoder that knows what they mean.

The encoder is first taught to name a caption's ingredients (material, finish, colour, light, floor), which
takes minutes and gives the denoiser states that already tell brass from bronze; it is trained on with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from workers.studio.training.captions import COLOURS, FINISHES, FLOORS, LIGHTS, caption, random_words
from workers.studio.training.config import TrainingConfig
from workers.studio.training.looks import KINDS
from workers.studio.training.start import starting_point
from workers.studio.training.words import teach_words

SPECIAL = PAD, START, END, UNKNOWN = ("<pad>", "<s>", "</s>", "<unk>")
INGREDIENTS: dict[str, tuple[str | None, ...]] = {
    "kind": tuple(KINDS),
    "finish": tuple(FINISHES),
    "colour": (None, *COLOURS),
    "light": tuple(LIGHTS),
    "floor": tuple(FLOORS),
}


def train_tokenizer(config: TrainingConfig, captions: int = 20_000) -> PreTrainedTokenizerFast:
    """Byte-pair encoding (Sennrich et al. 2016) of lower-cased words, trained on random captions."""
    rng = np.random.default_rng(config.seed)
    made = Tokenizer(models.BPE(unk_token=UNKNOWN, end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        end_of_word_suffix="</w>",
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789-,.#%°"),
        show_progress=False,
    )
    made.train_from_iterator((caption(random_words(rng), rng) for _ in range(captions)), trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=config.text_tokens,
    )


def new_text_encoder(config: TrainingConfig, tokenizer: PreTrainedTokenizerFast) -> CLIPTextModel:
    """An untrained CLIP text transformer (Radford et al. 2021) of our size."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.text_width,
            intermediate_size=4 * config.text_width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=max(1, config.text_width // 32),
            max_position_embeddings=config.text_tokens,
            projection_dim=config.text_width,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def tokenize(tokenizer: PreTrainedTokenizerFast, texts: list[str], length: int) -> torch.Tensor:
    """Token ids (B, length)."""
    ids: torch.Tensor = tokenizer(
        texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    ).input_ids
    return ids


class Reader(nn.Module):
    """Names the ingredients from the last state of a caption."""

    def __init__(self, encoder: CLIPTextModel, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(INGREDIENTS[name])) for name in INGREDIENTS})

    def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of each ingredient."""
        state = self.encoder(ids)[0][:, -1]
        return {name: head(state) for name, head in self.heads.items()}


def train_text(config: TrainingConfig) -> None:
    """Make the tokenizer and the encoder, unless they are there."""
    folder = config.folder / "text"
    if (folder / "text_encoder").exists():
        return
    if begun := starting_point(config):
        teach_words(config, begun.tokenizer, begun.text_encoder)
        begun.tokenizer.save_pretrained(folder / "tokenizer")
        begun.text_encoder.save_pretrained(folder / "text_encoder")
        return
    torch.manual_seed(config.seed)
    tokenizer = train_tokenizer(config)
    reader = Reader(new_text_encoder(config, tokenizer), config.text_width)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=1e-3, weight_decay=0.01)
    rng = np.random.default_rng([config.seed, 9])
    for step in range(config.text_steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 50) * (1 - 0.9 * step / config.text_steps)
        loss, right = _read_batch(reader, tokenizer, rng, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            print(f"text {step + 1}/{config.text_steps} loss {loss.item():.3f} {right}", flush=True)
    teach_words(config, tokenizer, reader.encoder)
    tokenizer.save_pretrained(folder / "tokenizer")
    reader.encoder.save_pretrained(folder / "text_encoder")


def _read_batch(
    reader: Reader, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator, config: TrainingConfig
) -> tuple[torch.Tensor, dict[str, float]]:
    entries: list[dict[str, Any]] = [random_words(rng) for _ in range(48)]
    texts = [caption(entry, rng) for entry in entries]
    length = min(config.text_tokens, 2 + max(len(tokenizer(text).input_ids) for text in texts))
    logits = reader(tokenize(tokenizer, texts, length))
    loss, right = torch.zeros(()), {}
    for name, options in INGREDIENTS.items():
        wanted = torch.tensor([options.index(entry["words"][name]) for entry in entries])
        loss = loss + functional.cross_entropy(logits[name], wanted)
        right[name] = round(float((logits[name].argmax(1) == wanted).float().mean()), 2)
    return loss, right


def load_text(config: TrainingConfig) -> tuple[PreTrainedTokenizerFast, CLIPTextModel]:
    """What `train_text` saved."""
    folder = config.folder / "text"
    return (
        PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
        CLIPTextModel.from_pretrained(folder / "text_encoder"),
    )
