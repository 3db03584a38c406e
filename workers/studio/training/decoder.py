"""Stage `decoder`: the geometry-guided decoder, trained on latents as bad as sampling makes them.

A decoder that only ever saw true latents would copy their faults. It is given true, blurred and noised
latents, and above all the denoiser's own predictions from noisy ones, and learns by regression to the
picture: L1, squares, and gradients at three scales, with more weight at edges and inside holes. Half of the
batches are of pictures at half the size, which are cheap and so many: there the decoder's answer is shrunk.
Last of all a critic of patches joins in, on pictures of full size (`critic`).
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from workers.studio.autoencoder import StudioAutoencoder
from workers.studio.control import EDGES, MASK
from workers.studio.lookups import picture_places
from workers.studio.training.captions import caption
from workers.studio.training.config import TrainingConfig
from workers.studio.training.critic import Adversary
from workers.studio.training.denoiser import NO_TEXT, load_denoiser
from workers.studio.training.distill import guided, is_distilled, load_distilled
from workers.studio.training.lookups import DIFFUSE, MIRRORED, lamp_pictures
from workers.studio.training.maps import from_bytes, maps_name
from workers.studio.training.mirrors import COUNTS, mirrors_path
from workers.studio.training.networks import Denoiser, new_scheduler, noised
from workers.studio.training.pack import Pack, load_pack, read_control, read_pixels, sharp_rows
from workers.studio.training.patterns import CALLS, patterns_path
from workers.studio.training.start import adopt, starting_point
from workers.studio.training.text import load_text, tokenize

PREDICTED, TRUE, BLURRED = 0.68, 0.78, 0.88  # cumulative shares; the rest is noised
FULL_SIZE = 0.6  # share of the batches
SAVE_EVERY_S = 60.0
# What only mixes lamps is nearly linear, and learns faster than the rest.
LOOKED_UP, QUICKER = "lamps.", 4.0


def new_autoencoder(config: TrainingConfig) -> StudioAutoencoder:
    """The decoder as it is before the first step, beside the fitted encoder."""
    widths = tuple(config.decoder_widths)
    made = StudioAutoencoder(
        config.latent_channels,
        widths,
        text_width=config.text_width,
        lamp_counts=(MIRRORED, DIFFUSE) if config.decoder_lamps else (0, 0),
        pattern_count=len(CALLS),
        mirror_counts=COUNTS,
    )
    begun = starting_point(config)
    if begun is not None:
        adopt(made, begun.autoencoder)
    _adopt_fitted(config, made)
    if made.lamps is not None:
        for kept, fresh in zip((made.lamps.mirrored, made.lamps.diffuse), lamp_pictures(), strict=True):
            kept.copy_(fresh)
    if begun is None or (config.folder / "patches.pt").exists():
        made.patches.load_state_dict(torch.load(config.folder / "patches.pt", weights_only=True))
    return made


def _adopt_fitted(config: TrainingConfig, made: StudioAutoencoder) -> None:
    """Give it the patterns and mirrors of the last fits, if there were any; without, nothing calls for them.
    They are not trained on."""
    fitted = (made.patterns, patterns_path(config)), (made.mirrors, mirrors_path(config))
    for module, path in fitted:
        assert module is not None
        module.requires_grad_(False)
        if path.exists():
            module.load_state_dict(torch.load(path, weights_only=True))


def load_autoencoder(config: TrainingConfig) -> StudioAutoencoder:
    """The averaged weights of the decoder's last checkpoint; where none was trained, what it begins as."""
    made = new_autoencoder(config)
    if (config.folder / "decoder.pt").exists():
        made.load_state_dict(torch.load(config.folder / "decoder.pt", weights_only=True)["ema"])
        _adopt_fitted(config, made)
    return made.eval().requires_grad_(False)


@torch.no_grad()
def make_predictions(config: TrainingConfig, *, minutes: float = 1e9) -> int:
    """Let the denoiser predict latents of training pictures from noisy ones; save rows and predictions.

    The student, where there is one: the decoder learns from what it will be given.
    """
    pack, device = load_pack(config), torch.device(config.device)
    model = (load_distilled(config) if is_distilled(config) else load_denoiser(config)).to(device)
    tokenizer, _ = load_text(config)
    rng, rows = np.random.default_rng([config.seed, 5]), sharp_rows(config, pack)
    found: list[torch.Tensor] = []
    used: list[torch.Tensor] = []
    started = time.monotonic()
    while sum(map(len, used)) < config.predictions and time.monotonic() - started < minutes * 60:
        some = rows[torch.from_numpy(rng.integers(len(rows), size=8))]
        texts = [caption(pack.entries[int(row)], rng) for row in some]
        ids = tokenize(tokenizer, texts + [""] * len(texts), config.text_tokens).to(device)
        control = from_bytes(pack.control[pack.camera[some]]).to(device)
        given = model.text(ids)[0], model.hints.from_small(control, torch.ones(len(some), device=device))
        path = _path(rng, config.default_steps)
        clean = pack.latents[some].float().to(device)
        found.append(_descend(model, clean, given, path, config.default_guidance_scale).half().cpu())
        used.append(some)
    torch.save({"rows": torch.cat(used), "latents": torch.cat(found)}, config.folder / "predictions.pt")
    return sum(map(len, used))


def _path(rng: np.random.Generator, steps: int) -> list[int]:
    """Time steps to come down by, -1 for the end: half of the time those of the shipped sampling."""
    if rng.random() < 0.5:
        return [1000 * k // steps - 1 for k in range(steps, -1, -1)]
    first, count = int(rng.integers(350, 1000)), int(rng.integers(1, 4))
    return [first * (count - k) // count for k in range(count)] + [-1]


def _descend(
    model: Denoiser,
    clean: torch.Tensor,
    given: tuple[torch.Tensor, tuple[torch.Tensor, list[torch.Tensor]]],
    path: list[int],
    scale: float,
) -> torch.Tensor:
    """Noise the latents to the path's first time step and come down it in guided DDIM steps; the last x0."""
    alpha_bar = torch.cat([new_scheduler().alphas_cumprod.float(), torch.ones(1)]).to(clean.device)
    count, scales = len(clean), clean.new_full((len(clean),), scale)
    x = noised(clean, torch.randn_like(clean), alpha_bar[path[0]].expand(count))
    predicted = x
    for step, then in pairwise(path):
        steps = torch.full((count,), step, device=clean.device)
        if model.unet.config.time_cond_proj_dim is None:
            predicted = guided(model, x, steps, given, scales)
        else:
            predicted = model.predict(x, steps, given[0][:count], given[1], scales)
        a, b = alpha_bar[step], alpha_bar[then]
        noise = (x - a.sqrt() * predicted) / (1 - a).sqrt()
        x = b.sqrt() * predicted + (1 - b).sqrt() * noise
    return predicted


@dataclass(slots=True)
class Crop:
    """Latents (B, C, n, n), control (B, 8, 16 n, 16 n) times its strength, pixels (B, 3, 16 n, 16 n).

    Of pictures at half the size the pixels are (B, 3, 8 n, 8 n). places (B, 2, 16 n, 16 n): where in the
    whole picture its pixels lie.
    """

    latents: torch.Tensor
    control: torch.Tensor
    pixels: torch.Tensor
    places: torch.Tensor
    captions: list[str]

    def to(self, device: torch.device) -> Crop:
        """The same on a device, in the memory order that convolutions like."""

        def moved(one: torch.Tensor) -> torch.Tensor:
            return one.to(device).contiguous(memory_format=torch.channels_last)

        pictures = moved(self.pixels), moved(self.places)
        return Crop(moved(self.latents), moved(self.control), *pictures, self.captions)


class CropSampler:
    """Random crops of training pictures with degraded latents."""

    def __init__(self, config: TrainingConfig, pack: Pack, seed: list[int]) -> None:
        self.config, self.pack, self.rng = config, pack, np.random.default_rng(seed)
        rows = sharp_rows(config, pack)
        self.rows = self._by_size(rows, rows)
        predictions = torch.load(config.folder / "predictions.pt", weights_only=True)
        self.predicted_rows, self.predicted = predictions["rows"], predictions["latents"]
        self.guesses = self._by_size(torch.arange(len(self.predicted_rows)), self.predicted_rows)
        self.places = picture_places(config.image_px, config.image_px)
        self._pixels: dict[int, torch.Tensor] = {}

    def _by_size(self, values: torch.Tensor, rows: torch.Tensor) -> dict[bool, torch.Tensor]:
        """The values of pictures of full size (True) and of half of it (False)."""
        full = torch.tensor([self.pack.entries[int(r)]["size_px"] == self.config.image_px for r in rows])
        return {True: values[full], False: values[~full]}

    def draw(self, count: int) -> Crop:
        """A batch, of pictures of one size."""
        full = not (len(self.rows[False]) and len(self.guesses[False])) or self.rng.random() < FULL_SIZE
        crops = [self._one(full=full) for _ in range(count)]
        latents, control, pixels, places = (
            torch.stack(some) for some in zip(*(crop[:4] for crop in crops), strict=True)
        )
        return Crop(latents, control, pixels, places, [crop[4] for crop in crops])

    def _one(self, *, full: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, str]:
        row, latents = self._latents(full=full)
        entry = self.pack.entries[row]
        if row not in self._pixels:
            self._pixels[row] = ((read_pixels(self.config, entry) + 1) * 127.5).round().to(torch.uint8)
        control = read_control(self.config, maps_name(entry))
        cells = min(self.config.decoder_crop_px // 16, latents.shape[-1])
        y, x = self._place(control[MASK], latents.shape[-1] - cells, cells)
        window = _window(y, x, cells, 16)
        share = self.rng.random()
        strength = 1.0 if share < 0.86 else 0.0 if share < 0.93 else float(self.rng.random())
        pixels = self._pixels[row][_window(y, x, cells, 16 if full else 8)].float() / 127.5 - 1
        return (
            latents[:, y : y + cells, x : x + cells],
            from_bytes(control[window][None])[0] * strength,
            pixels,
            self.places[0][window],
            "" if self.rng.random() < NO_TEXT else caption(entry, self.rng),
        )

    def _latents(self, *, full: bool) -> tuple[int, torch.Tensor]:
        share, rng = self.rng.random(), self.rng
        if share < PREDICTED and len(self.guesses[full]):
            k = int(self.guesses[full][rng.integers(len(self.guesses[full]))])
            return int(self.predicted_rows[k]), self.predicted[k].float()
        row = int(self.rows[full][rng.integers(len(self.rows[full]))])
        latents = self.pack.latents[row].float()
        if share >= TRUE:
            window = int(rng.choice([2, 4]))
            small = functional.avg_pool2d(latents[None], window, ceil_mode=True)
            latents = functional.interpolate(small, size=latents.shape[-2:], mode="bilinear")[0]
        if share >= BLURRED:
            latents = latents + torch.randn_like(latents) * float(rng.uniform(0.1, 0.5))
        return row, latents

    def _place(self, mask: torch.Tensor, room: int, cells: int) -> tuple[int, int]:
        """Where the crop begins, in cells: mostly so that it holds some of the part."""
        rng = self.rng
        if rng.random() < 0.8:
            on_part = torch.nonzero(mask[8::16, 8::16] > 127)
            if len(on_part):
                middle = on_part[int(rng.integers(len(on_part)))].numpy() - rng.integers(0, cells, 2)
                return int(np.clip(middle[0], 0, room)), int(np.clip(middle[1], 0, room))
        return int(rng.integers(0, room + 1)), int(rng.integers(0, room + 1))


def _window(y: int, x: int, cells: int, cell_px: int) -> tuple[slice, slice, slice]:
    """All channels of so many cells from (y, x) on."""
    edges = [slice(cell_px * at, cell_px * (at + cells)) for at in (y, x)]
    return (slice(None), edges[0], edges[1])


def decoder_loss(made: torch.Tensor, wanted: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
    """Weighted L1 + 2 · squares + 0.7 · gradients at three scales, at the size of what is wanted."""
    if wanted.shape[-1] < made.shape[-1]:
        made, control = functional.avg_pool2d(made, 2), functional.avg_pool2d(control, 2)
    mask, edges = control[:, MASK : MASK + 1], control[:, EDGES : EDGES + 1]
    near = functional.avg_pool2d(mask, 33, 1, 16, count_include_pad=False)
    weight = 1 + 1.5 * functional.max_pool2d(edges, 5, 1, 2) + 4 * (1 - mask) * near
    loss = ((made - wanted).abs() * weight).mean() + 2 * functional.mse_loss(made, wanted)
    for scale in range(3):
        if scale:
            made, wanted = functional.avg_pool2d(made, 2), functional.avg_pool2d(wanted, 2)
        for axis in (2, 3):
            loss = loss + 0.7 * (made.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean()
    return loss


def train_decoder(config: TrainingConfig) -> None:
    """Train until the minutes are used up, first by regression alone; goes on from its checkpoint."""
    torch.manual_seed(config.seed)
    run = _Run(config)
    regression_s, adversarial_s = 60 * config.minutes_decoder, 60 * config.minutes_adversarial
    while run.spent_s < regression_s:
        run.step(done=run.spent_s / regression_s)
    run.save()
    while run.spent_s < regression_s + adversarial_s:
        run.step(adversarial=True)
    run.save()


class _Run:
    """The state of the training."""

    def __init__(self, config: TrainingConfig) -> None:
        self.path = config.folder / "decoder.pt"
        self.batch, self.tokens = config.decoder_batch, config.text_tokens
        self.learning_rate = config.decoder_learning_rate
        self.adversarial_rate = config.adversarial_learning_rate
        self.device, self.bf16 = torch.device(config.device), config.bf16
        self.model = new_autoencoder(config).to(self.device)
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        trained = [pair for pair in self.model.named_parameters() if pair[1].requires_grad]
        new = [one for name, one in trained if name.startswith(LOOKED_UP)]
        others = [one for name, one in trained if not name.startswith(LOOKED_UP)]
        self.optimizer = torch.optim.AdamW(
            [{"params": others, "share": 1.0}, {"params": new, "share": QUICKER}],
            lr=config.decoder_learning_rate,
            weight_decay=1e-4,
            betas=(0.9, 0.99),
        )
        self.adversary = Adversary(config.adversarial_learning_rate, self.device)
        self.steps, self.spent_s = 0, 0.0
        if self.path.exists():
            state = torch.load(self.path, weights_only=True, map_location=self.device)
            if "adversary" in state:
                self.adversary.load_state_dict(state["adversary"])
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.spent_s = state["steps"], state["spent_s"]
        self.model.to(memory_format=torch.channels_last)
        self.tokenizer = load_text(config)[0]
        self.text = load_denoiser(config).text.to(self.device)
        self.sampler = CropSampler(config, load_pack(config), [config.seed, self.steps])
        self.saved_s, self.losses = self.spent_s, [0.0]

    def step(self, *, done: float = 1.0, adversarial: bool = False) -> None:
        """One optimizer step on one batch. `done` (0..1) sets the learning rate of regression alone."""
        started = time.monotonic()
        fall = 0.5 + 0.5 * math.cos(math.pi * done)
        rate = self.learning_rate * min(1, (self.steps + 1) / 40) * fall + 2e-5
        for group in self.optimizer.param_groups:
            group["lr"] = self.adversarial_rate if adversarial else rate * group["share"]
        crop = self.sampler.draw(self.batch).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self._loss(crop, adversarial=adversarial)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        decay = min(0.995, (self.steps + 1) / (self.steps + 12))
        with torch.no_grad():
            fresh = [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_(list(self.ema.parameters()), fresh, 1 - decay)
        self.losses.append(float(loss.detach()))
        self.spent_s += time.monotonic() - started
        if self.steps % 50 == 0:
            mean = float(np.mean(self.losses[-50:]))
            print(f"decoder step {self.steps} loss {mean:.4f} at {self.spent_s / 60:.1f} min", flush=True)
        if self.spent_s - self.saved_s > SAVE_EVERY_S:
            self.save()

    def _loss(self, crop: Crop, *, adversarial: bool) -> torch.Tensor:
        """Of the picture without its patterns, and what the critic says of pictures of full size."""
        with torch.no_grad():
            ids = tokenize(self.tokenizer, crop.captions, self.tokens).to(self.device)
            states = self.text(ids)[0]
        smooth, pattern = self.model.decode_apart(crop.latents, crop.control, states, crop.places)
        loss = decoder_loss(smooth, crop.pixels, crop.control)
        if adversarial and crop.pixels.shape == smooth.shape:
            made = smooth + pattern
            self.adversary.learn(crop.pixels, made, crop.control)
            loss = loss + self.adversary.loss(made, crop.control, loss, self.model.full_out.weight)
        return loss

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        self.saved_s = self.spent_s
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state_dict(),
            "steps": self.steps,
            "spent_s": self.spent_s,
        }
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").rename(self.path)
