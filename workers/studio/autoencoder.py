"""Pixels to latents and back: a fixed linear encoder, and a decoder that is guided by the geometry.

The encoder is a principal component analysis of 8 x 8 patches of the half-size picture: 16 numbers for
each 16 x 16 px. The decoder turns latents into appearance and takes edges from the full-size control maps;
it predicts the part and its surroundings as two layers and composites them by the true mask, so that a
silhouette, or a hole, is as sharp as the geometry. It is told the prompt, too: what a polished surface
mirrors follows from its normals and from what it is made of, finer than latents can say. Lamps to mirror it
looks up (`workers.studio.lookups`) and says only how they mix. The room that metal mirrors is looked up, too,
with the streaks of its brushing (`workers.studio.mirrors`), and laid over what the decoder made of the
latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional

from workers.studio.control import FEATURES, MASK, features, fill_in, solid_cells
from workers.studio.lookups import SHADES, SURFACE_PATTERNS, Lamps, Patterns, picture_places
from workers.studio.mirrors import Mirrors

PATCH_PX = 8
PATCH_VALUES = 3 * PATCH_PX * PATCH_PX
CODE = 128  # numbers that say what the prompt says of the appearance


class PatchTransform(nn.Module):
    """The linear map between patches and latents: z = scale · basisᵀ (patch - mean). Fitted, not trained."""

    mean: torch.Tensor
    basis: torch.Tensor
    scale: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(PATCH_VALUES))
        self.register_buffer("basis", torch.eye(PATCH_VALUES)[:, :channels].clone())
        self.register_buffer("scale", torch.ones(channels))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, H, W) in -1..1 to latents (B, C, H/8, W/8)."""
        patches = functional.pixel_unshuffle(pixels, PATCH_PX) - self.mean.view(1, -1, 1, 1)
        return functional.conv2d(patches, (self.basis * self.scale).T[:, :, None, None])

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, h, w) to pixels (B, 3, 8h, 8w): the least-squares inverse of `encode`."""
        patches = functional.conv2d(latents, (self.basis / self.scale)[:, :, None, None], self.mean)
        return functional.pixel_shuffle(patches, PATCH_PX)

    def mean_colour(self, latents: torch.Tensor) -> torch.Tensor:
        """The mean colours (B, 3, h, w) of the patches that the latents stand for."""
        weight = (self.basis / self.scale).view(3, PATCH_PX**2, -1).mean(1)
        return functional.conv2d(latents, weight[:, :, None, None], self.mean.view(3, -1).mean(1))


class Residual(nn.Module):
    """Two convolutions beside an identity; the second starts small."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape out."""
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class GuideEncoder(nn.Module):
    """Features of the control maps at 1/1, 1/2, 1/4, 1/8 and 1/16 of the picture's size."""

    def __init__(self, full: int, widths: tuple[int, ...], shades: int = 0) -> None:
        super().__init__()
        self.full = nn.Conv2d(FEATURES + shades, full, 3, padding=1)
        sizes = (full, *widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(sizes))
        self.mix = nn.ModuleList(Residual(width) for width in widths)

    def forward(self, guide: torch.Tensor) -> list[torch.Tensor]:
        """From features (B, 12, H, W), and shades after them if it takes any, finest first."""
        levels = [self.full(guide)]
        for down, mix in zip(self.down, self.mix, strict=True):
            levels.append(mix(down(functional.relu(levels[-1]))))
        return levels


class Wording(nn.Module):
    """What the prompt says of the appearance: a scale and a shift for the decoder's features at each size.

    Feature-wise linear modulation (Perez et al. 2018); it begins as no change.
    """

    def __init__(self, text_width: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * text_width)
        self.read = nn.Linear(2 * text_width, CODE)
        self.say = nn.ModuleList(nn.Linear(CODE, 2 * width) for width in widths)
        with torch.no_grad():
            for one in self.say:
                for parameter in one.parameters():
                    parameter.zero_()

    def code(self, states: torch.Tensor) -> torch.Tensor:
        """From text states (B, tokens, width) what they say of the appearance, (B, 128)."""
        code = self.norm(torch.cat([states[:, -1], states.mean(1)], 1))
        return functional.silu(self.read(code))

    def forward(self, code: torch.Tensor) -> list[torch.Tensor]:
        """Tensors (B, 2 · width, 1, 1) from a code, coarsest first."""
        return [say(code)[..., None, None] for say in self.say]


def modulated(features_: torch.Tensor, said: torch.Tensor | None) -> torch.Tensor:
    """Features (B, C, h, w) scaled and shifted by what is said (B, 2 C, 1, 1), if anything is."""
    if said is None:
        return features_
    scale, shift = said.chunk(2, 1)
    return features_ * (1 + scale) + shift


def _tinted(pattern: torch.Tensor, layer: torch.Tensor) -> torch.Tensor:
    """The sum of patterns (B, T, H, W) as a change of a layer (B, 3, H, W) in -1..1."""
    return pattern.sum(1, keepdim=True) * (layer.detach() + 1)


class StudioAutoencoder(ModelMixin, ConfigMixin):
    """See the module. Latents are (B, latent_channels, H/16, W/16); pixels are in -1..1."""

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 16,
        widths: tuple[int, ...] = (16, 32, 64, 96),
        core_width: int = 128,
        full_width: int = 8,
        text_width: int = 0,
        lamp_counts: tuple[int, int] = (0, 0),
        pattern_count: int = 0,
        mirror_counts: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> None:
        super().__init__()
        self.patches = PatchTransform(latent_channels)
        shades = SHADES if sum(lamp_counts) else 0
        self.guide = GuideEncoder(full_width, tuple(widths), shades)
        w2, w4, w8, w16 = widths
        core, full = core_width, full_width
        self.latents_in = nn.Conv2d(3 * latent_channels + 2, core, 3, padding=1)
        self.merge = nn.Conv2d(core + w16, core, 3, padding=1)
        self.core = nn.Sequential(*(Residual(core) for _ in range(3)))
        steps = ((core, w8), (w8, w4), (w4, w2))
        self.up = nn.ModuleList(nn.Conv2d(a, 4 * b, 1) for a, b in steps)
        self.join = nn.ModuleList(nn.Conv2d(2 * b, b, 3, padding=1) for _, b in steps)
        self.refine = nn.ModuleList(Residual(b) for _, b in steps)
        self.half_out = nn.Conv2d(w2 + 6, 6, 3, padding=1)
        self.to_full = nn.Conv2d(w2, 4 * full, 1)
        self.full_mix = nn.Conv2d(2 * full + 6 + shades, 2 * full, 3, padding=1)
        self.full_out = nn.Conv2d(2 * full, 6, 3, padding=1)
        self.wording = Wording(text_width, (core, w8, w4, w2)) if text_width else None
        self.lamps = Lamps(*lamp_counts, CODE) if shades else None
        self.patterns = Patterns(pattern_count, text_width) if pattern_count else None
        self.mirrors = Mirrors(*mirror_counts, text_width) if all(mirror_counts) else None
        with torch.no_grad():
            for last in (self.half_out, self.full_out):
                last.weight.mul_(0.1)
                assert last.bias is not None
                last.bias.zero_()

    @property
    def latent_scale(self) -> int:
        """How many pixels one latent is wide."""
        return 2 * PATCH_PX

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents of pictures (B, 3, H, W) in -1..1, H and W multiples of 16."""
        return self.patches.encode(functional.avg_pool2d(pixels, 2))

    def decode_rough(self, latents: torch.Tensor) -> torch.Tensor:
        """A half-size picture (B, 3, H/2, W/2) from the latents alone: cheap, blocky."""
        return self.patches.decode(latents)

    def decode(
        self, latents: torch.Tensor, control: torch.Tensor, text: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Pictures (B, 3, H, W) from latents and a control tensor (B, 8, H, W) times its strength.

        `text` are the prompt's states (B, tokens, width), for a decoder that reads them.
        """
        smooth, pattern = self.decode_apart(latents, control, text)
        return smooth + pattern

    def decode_apart(
        self,
        latents: torch.Tensor,
        control: torch.Tensor,
        text: torch.Tensor | None = None,
        places: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The picture without its patterns, and what those add to it, both (B, 3, H, W).

        `places` (B, 2, H, W) are the pixels' places in the whole picture, for a crop of one.
        """
        # 1. What the prompt and the geometry say
        if places is None:
            places = picture_places(*control.shape[-2:]).to(control)
        code = None if self.wording is None or text is None else self.wording.code(text)
        said = self._said(code)
        shades = self._shades(code, control, places)
        mask = control[:, MASK : MASK + 1]
        levels = self.guide(torch.cat([features(control), *shades], 1))
        # 2. The latents of either layer, without the other's
        on_part, on_rest = solid_cells(mask, self.latent_scale)
        part, rest = fill_in(latents, on_part, finest=3), fill_in(latents, on_rest, finest=3)
        h = self.latents_in(torch.cat([latents, part, rest, on_part, on_rest], 1))
        h = modulated(self.merge(torch.cat([functional.relu(h), levels[4]], 1)), said[0])
        h = self.core(h)
        # 3. Either layer begins as the cells' mean colours: finer sampled patches are seldom right
        colours = torch.cat([self.patches.mean_colour(part), self.patches.mean_colour(rest)], 1)
        layers = functional.interpolate(colours, scale_factor=8.0, mode="bilinear", align_corners=False)
        stages = zip(self.up, self.join, self.refine, levels[3:0:-1], said[1:], strict=True)
        for up, join, refine, level, word in stages:
            coarse = functional.relu(functional.pixel_shuffle(up(h), 2))
            h = refine(modulated(join(torch.cat([coarse, functional.relu(level)], 1)), word))
        h = functional.relu(h)
        layers = layers + self.half_out(torch.cat([h, layers], 1))
        # 4. Full size
        layers = functional.interpolate(layers, scale_factor=2.0, mode="bilinear", align_corners=False)
        finest = functional.relu(functional.pixel_shuffle(self.to_full(h), 2))
        fine = torch.cat([finest, functional.relu(levels[0]), layers], 1)
        layers = layers + self.full_out(functional.relu(self.full_mix(torch.cat([fine, *shades], 1))))
        on_top = layers[:, :3] + sum(shade[:, :3] for shade in shades)
        if self.mirrors is not None and text is not None:
            mirrored, weight = self.mirrors(text, control, places)
            on_top = on_top + weight * (mirrored - on_top)
        smooth = mask * on_top + (1 - mask) * layers[:, 3:]
        return smooth, self._pattern(text, control, places, (on_top, layers[:, 3:]))

    def _said(self, code: torch.Tensor | None) -> Sequence[torch.Tensor | None]:
        if self.wording is None or code is None:
            return [None] * 4
        said: list[torch.Tensor] = self.wording(code)
        return said

    def _shades(
        self, code: torch.Tensor | None, control: torch.Tensor, places: torch.Tensor
    ) -> list[torch.Tensor]:
        """Mirrored lamps (B, 6, H, W) in a list; an empty one for a decoder without lamps."""
        if self.lamps is None:
            return []
        if code is None:
            return [control.new_zeros(len(control), SHADES, *control.shape[-2:])]
        return [self.lamps(code, control, places)]

    def _pattern(
        self,
        text: torch.Tensor | None,
        control: torch.Tensor,
        places: torch.Tensor,
        layers: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Patterns as strong as the prompt's states (B, tokens, width) say, in either layer's tint."""
        if self.patterns is None or text is None:
            return torch.zeros_like(layers[0])
        wanted = self.patterns(text, control, places)
        on_part, on_rest = wanted[:, :SURFACE_PATTERNS], wanted[:, SURFACE_PATTERNS:]
        return _tinted(on_part, layers[0]) + _tinted(on_rest, layers[1])

    def forward(
        self, latents: torch.Tensor, control: torch.Tensor, text: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same as `decode`."""
        return self.decode(latents, control, text)
