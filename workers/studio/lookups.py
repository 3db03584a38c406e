"""What the decoder may look up instead of learning by heart: lamps that a surface mirrors, and patterns.

The lamps of the training pictures hang on the camera, so that what a surface reflects follows from its
normal in camera space and from the view ray: a sphere of directions, kept as a small picture for each set of
lamps, sharp and blurred (environment mapping, Blinn and Newell 1976). The prompt says how they mix. Patterns
(wood, weave, rust; boards, concrete, marble) are laid on each face along its own axes, or on the ground; the
prompt says how strong they are, never where they lie.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from workers.studio.brushing import AXIS_UP, surface_axes, unit
from workers.studio.control import MASK, OCCLUSION

LAMP_PX = 64
PATTERN_PX = 256
SHADES = 6  # mixtures of lamps: the first three are added to red, green and blue, the others are features
TAN_HALF_VIEW = math.tan(math.radians(15))  # of the product's standard views
SURFACE_PATTERNS, GROUND_PATTERNS = 3, 3
PART_REPEAT, GROUND_REPEAT = 1.6, 1 / 2.6  # of a pattern, in half a picture's width
GROUND_TURN = 2.2  # radians from the camera's side to the pattern's u axis
LEVEL_COSINE, LEVEL_SHARE = 0.998, 0.02  # of a level face's normal, and of the part that has such
STEEPEST = 0.2  # least cosine between face and view ray at which a pattern is still laid


def picture_places(height: int, width: int) -> torch.Tensor:
    """The pixels' places (1, 2, H, W), x right and y up, from -1 to 1 over the shorter side."""
    half = min(height, width) / 2
    x = (torch.arange(width) + 0.5 - width / 2) / half
    y = (height / 2 - torch.arange(height) - 0.5) / half
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)])[None]


def disc_places(directions: torch.Tensor) -> torch.Tensor:
    """Where unit directions (B, 3, H, W) lie in a lamp picture, (B, H, W, 2) for `grid_sample`.

    Lambert's azimuthal equal-area projection around the direction to the camera: that is the middle, the one
    away from it the rim.
    """
    radius = (2 * (1 + directions[:, 2:3]).clamp_min(1e-3)).rsqrt()
    x, y = directions[:, :1] * radius, -directions[:, 1:2] * radius
    return torch.cat([x, y], 1).clamp(-1, 1).permute(0, 2, 3, 1)


def disc_directions() -> torch.Tensor:
    """The directions (3, n, n) of a lamp picture's pixels; what is beyond the rim has the rim's."""
    y, x = torch.meshgrid(*[(torch.arange(LAMP_PX) + 0.5) / LAMP_PX * 2 - 1] * 2, indexing="ij")
    square = (x * x + y * y).clamp_max(1.0)
    out = 2 * (1 - square).sqrt()
    scale = square.sqrt() / (x * x + y * y).sqrt().clamp_min(1e-6)
    return torch.stack([out * x * scale, -out * y * scale, 1 - 2 * square])


class Lamps(nn.Module):
    """Lamp pictures by mirror direction (M, n, n) and by normal (N, n, n), and how a prompt mixes them."""

    mirrored: torch.Tensor
    diffuse: torch.Tensor

    def __init__(self, mirrored: int, diffuse: int, code: int) -> None:
        super().__init__()
        self.register_buffer("mirrored", torch.zeros(mirrored, LAMP_PX, LAMP_PX))
        self.register_buffer("diffuse", torch.zeros(diffuse, LAMP_PX, LAMP_PX))
        self.mix = nn.Linear(code, SHADES * (mirrored + diffuse))
        with torch.no_grad():  # what is added to the picture begins as nothing
            self.mix.weight[: SHADES // 2 * (mirrored + diffuse)] = 0
            self.mix.bias[: SHADES // 2 * (mirrored + diffuse)] = 0

    def forward(self, code: torch.Tensor, control: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Shades (B, 6, H, W) of a prompt's code (B, C): zero off the part, less where it is occluded."""
        count = len(self.mirrored)
        weights = self.mix(code).view(len(code), SHADES, -1)
        mirrored = torch.einsum("bsl,lhw->bshw", weights[..., :count], self.mirrored)
        diffuse = torch.einsum("bsl,lhw->bshw", weights[..., count:], self.diffuse)
        normal = unit(control[:, :3])
        view = torch.cat([-TAN_HALF_VIEW * places, torch.ones_like(places[:, :1])], 1)
        view = unit(view).to(control)
        facing = (normal * view).sum(1, keepdim=True)
        seen = sample(mirrored, disc_places(2 * facing * normal - view))
        seen = seen + sample(diffuse, disc_places(normal))
        return seen * control[:, MASK : MASK + 1] * (0.3 + 0.7 * control[:, OCCLUSION : OCCLUSION + 1])


def sample(pictures: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """`grid_sample` that stays inside at the borders."""
    return functional.grid_sample(pictures, places, padding_mode="border", align_corners=False)


def surface_places(control: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Coordinates (B, 2, H, W) on each face, along the brushing direction and across it.

    A face is taken as a plane that the view ray of an orthographic camera meets; its origin is that of the
    picture.
    """
    normal = control[:, :3]
    along, across = surface_axes(normal)
    steep = normal[:, 2:3].clamp_min(STEEPEST)
    depth = -(normal[:, :2] * places).sum(1, keepdim=True) / steep
    point = torch.cat([places.expand(len(control), -1, -1, -1), depth], 1)
    return torch.cat([(point * axis).sum(1, keepdim=True) for axis in (along, across)], 1)


def ground_places(places: torch.Tensor) -> torch.Tensor:
    """Coordinates (B, 2, H, W) on level ground under the picture's middle, in the isometric view."""
    _, rise, sink = AXIS_UP
    reach = sink / (sink - rise * TAN_HALF_VIEW * places[:, 1:2]).clamp_min(0.05)
    right = reach * places[:, :1]
    towards = -(reach * places[:, 1:2] * TAN_HALF_VIEW * sink - (1 - reach) * rise) / TAN_HALF_VIEW
    cosine, sine = math.cos(GROUND_TURN), math.sin(GROUND_TURN)
    return torch.cat([towards * cosine + right * sine, right * cosine - towards * sine], 1)


def laid(patterns: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Repeating patterns (P, n, n) at coordinates (B, 2, H, W) in repeats: (B, P, H, W)."""
    within = (places - places.floor()) * 2 - 1
    repeated = functional.pad(patterns[None], (1, 1, 1, 1), mode="circular")
    within = within * PATTERN_PX / (PATTERN_PX + 2)
    return sample(repeated.expand(len(places), -1, -1, -1), within.permute(0, 2, 3, 1))


class Patterns(nn.Module):
    """Repeating pictures around 0, (P, n, n): those of the part, then those of the ground.

    `amplitude` (P,) is how strong each is where a prompt calls for it, as a share of the brightness.
    """

    pictures: torch.Tensor
    amplitude: torch.Tensor

    def __init__(self, count: int, text_width: int) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.zeros(count, PATTERN_PX, PATTERN_PX))
        self.register_buffer("amplitude", torch.ones(count))
        self.called = nn.Linear(2 * text_width, count)
        with torch.no_grad():  # nothing calls for them
            self.called.weight.zero_()
            self.called.bias.fill_(-8.0)

    def read(self, states: torch.Tensor) -> torch.Tensor:
        """From text states (B, tokens, width) the log-odds (B, P) that the prompt calls for each pattern."""
        said = torch.cat([states[:, -1], states.mean(1)], 1)
        odds: torch.Tensor = self.called(functional.layer_norm(said, said.shape[1:]))
        return odds

    def forward(self, states: torch.Tensor, control: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The patterns laid on the part and on the ground as strong as the prompt calls for, (B, P, H, W).

        No part, no patterns; and no ground but in the isometric view.
        """
        mask = control[:, MASK : MASK + 1]
        on_part = laid(self.pictures[:SURFACE_PATTERNS], surface_places(control, places) * PART_REPEAT)
        on_ground = laid(self.pictures[SURFACE_PATTERNS:], ground_places(places) * GROUND_REPEAT)
        around = (1 - mask) * isometric(control).view(-1, 1, 1, 1)
        strength = self.amplitude * torch.sigmoid(self.read(states))
        return torch.cat([on_part * mask, on_ground * around], 1) * strength[..., None, None]


def isometric(control: torch.Tensor) -> torch.Tensor:
    """Whether a control tensor (B, 8, H, W) is of the isometric view, 0 or 1 (B,): level faces tell it."""
    up = control.new_tensor(AXIS_UP).view(1, 3, 1, 1)
    level = (control[:, :3] * up).sum(1) > LEVEL_COSINE
    part = control[:, MASK] > 0.5
    share = level.sum((1, 2)) / part.sum((1, 2)).clamp_min(1)
    return (share > LEVEL_SHARE).to(control)
