"""What metal mirrors, looked up: the room of the prompt's light, and its ground below the horizon.

The lamps of the training pictures hang on the camera, so that what a face reflects follows from its normal
and its view ray. For each light there is a disc picture of the room at a few roughnesses, gathered once with
the lobe of the GGX distribution (Walter et al. 2007); a metal is its reflectance at normal incidence and a
mixture of these roughnesses (the split-sum approximation, Karis 2013). Which metal, light and ground a prompt
names is read off its text states by logistic regressions, as `workers.studio.lookups.Patterns` reads what
calls for a pattern. The denoiser's own answer is kept beside it: at few steps it knows the scene, but it
blurs what is mirrored.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from workers.studio.brushing import streaks, unit
from workers.studio.control import EDGES, MASK, OCCLUSION
from workers.studio.lookups import LAMP_PX, TAN_HALF_VIEW, disc_places, sample

STRAIGHT, SHOULDER = 0.8, 0.2  # of the tone map of the training pictures
ACROSS_PX = 7  # from how far around an edge its light is taken: a normal between two faces mirrors neither
LEAST_STREAKED = 0.004  # what is less is not seen, and not made
OCCLUDED = 0.35  # of the reflected light, where nothing of the room is seen: the part mirrors itself


def toned(light: torch.Tensor) -> torch.Tensor:
    """Linear light to sRGB 0 to 1, as the training pictures are: straight to 0.8, then a shoulder."""
    x = light.clamp_min(0)
    x = torch.where(x < STRAIGHT, x, STRAIGHT + SHOULDER * (1 - torch.exp((STRAIGHT - x) / SHOULDER * 0.9)))
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(1e-6) ** (1 / 2.4) - 0.055).clamp(0, 1)


class Mirrors(nn.Module):
    """Rooms (L, R * 3, n, n) of the lights at the roughnesses, in linear light; horizon (R, n, n): the share
    of the lobe that meets the ground; grounds (L, G, 3): what those send back; of the metals, tints (M, 3),
    roughness (M, R) and streaked (M,), the deviation of the light by streaks. `strength` (1,) is how much of
    the metal's picture is looked up.
    """

    rooms: torch.Tensor
    horizon: torch.Tensor
    grounds: torch.Tensor
    tints: torch.Tensor
    roughness: torch.Tensor
    streaked: torch.Tensor
    strength: torch.Tensor

    def __init__(self, lights: int, levels: int, grounds: int, metals: int, text_width: int) -> None:
        super().__init__()
        self.register_buffer("rooms", torch.zeros(lights, levels * 3, LAMP_PX, LAMP_PX))
        self.register_buffer("horizon", torch.zeros(levels, LAMP_PX, LAMP_PX))
        self.register_buffer("grounds", torch.zeros(lights, grounds, 3))
        self.register_buffer("tints", torch.zeros(metals, 3))
        self.register_buffer("roughness", torch.zeros(metals, levels))
        self.register_buffer("streaked", torch.zeros(metals))
        self.register_buffer("strength", torch.zeros(1))
        self.counts = (metals + 1, lights, grounds)  # the last of the metals: none
        self.read = nn.Linear(2 * text_width, sum(self.counts))
        with torch.no_grad():
            self.read.weight.zero_()
            self.read.bias.zero_()

    def named(self, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """From text states (B, tokens, width) the log-odds of metals and none (B, M + 1), of lights (B, L)
        and of grounds (B, G)."""
        said = torch.cat([states[:, -1], states.mean(1)], 1)
        odds: torch.Tensor = self.read(functional.layer_norm(said, said.shape[1:]))
        return odds.split(self.counts, 1)

    def forward(
        self, states: torch.Tensor, control: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The metal as it mirrors, (B, 3, H, W) in -1..1, and how much it counts (B, 1, H, W): nothing off
        the part, and nothing for a prompt that names no metal."""
        # 1. What the prompt names, as shares
        metal, light, ground = (torch.softmax(odds, 1) for odds in self.named(states))
        is_metal = 1 - metal[:, -1]
        share = metal[:, :-1] / metal[:, :-1].sum(1, keepdim=True).clamp_min(1e-6)
        tint, rough = share @ self.tints, share @ self.roughness
        floor = torch.einsum("bl,bg,lgc->bc", light, ground, self.grounds)
        # 2. The room as a surface of this roughness sees it
        rooms = self.rooms.unflatten(1, (-1, 3))
        disc = torch.einsum("bl,br,lrchw->bchw", light, rough, rooms)
        below = torch.einsum("br,rhw->bhw", rough, self.horizon)[:, None]
        disc = disc + below * floor[..., None, None]
        # 3. Where each pixel's ray goes
        normal = unit(control[:, :3])
        view = torch.cat([-TAN_HALF_VIEW * places, torch.ones_like(places[:, :1])], 1)
        view = unit(view).to(control)
        facing = (normal * view).sum(1, keepdim=True).clamp_min(0)
        seen = sample(disc, disc_places(2 * facing * normal - view))
        # 4. What comes back: more at grazing angles (Schlick 1994), less where the part hides the room
        grazing = (1 - facing) ** 5
        tint = tint[..., None, None]
        light_back = seen * (tint + (1 - tint) * grazing) * (1 + self._brushed(share, is_metal, control))
        open_ = OCCLUDED + (1 - OCCLUDED) * control[:, OCCLUSION : OCCLUSION + 1]
        mask = control[:, MASK : MASK + 1]
        made = _mended(toned(light_back * open_), control) * 2 - 1
        return made, mask * (self.strength * is_metal).view(-1, 1, 1, 1)

    def _brushed(self, share: torch.Tensor, is_metal: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        """By how much more or less (B, 1, H, W) the metals of these shares (B, M) send back, by their
        streaks."""
        depth = share @ self.streaked * is_metal
        depth = torch.where(depth < LEAST_STREAKED, 0, depth)  # also in company that is brushed
        if not depth.any():
            return torch.zeros_like(control[:, :1])
        return depth.view(-1, 1, 1, 1) * streaks(control)


def _mended(made: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
    """Values (B, 3, H, W) that are those of the faces beside it wherever an edge is."""
    edges, mask = control[:, EDGES : EDGES + 1], control[:, MASK : MASK + 1]
    sure = mask * (1 - functional.max_pool2d(edges, 3, 1, 1))
    mass, around = (
        functional.avg_pool2d(one, ACROSS_PX, 1, ACROSS_PX // 2, count_include_pad=False)
        for one in (sure, made * sure)
    )
    known = (mass * ACROSS_PX).clamp_max(1)  # nothing is known where edges lie close together
    return made + known * (1 - sure) * (around / mass.clamp_min(1e-4) - made)
