"""The judge's network: where a picture and the true control maps tell of different shapes.

It sees both at once, at one working size, and answers for every second pixel in each direction with three
logits: an edge that the maps have and the picture lacks, one that the picture has and the maps lack, and a
surface that is another one. Nothing is pooled inside: a single hole that is missing is a local matter.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

MISSING, INVENTED, SURFACE = 0, 1, 2
ANSWERS = 3
STRIDE = 2
# Red, green, blue, the eight channels of a control tensor, and of each colour what light does not explain.
INPUTS = 14
# What `compared` adds.
COMPARISONS = 8
NEAR_PX = 2
# Sizes that the network takes are multiples of this.
MULTIPLE = 8


def compared(x: torch.Tensor) -> torch.Tensor:
    """(B, 8, H, W): contrast of the picture beside the edges of the maps, and where one is without the other.

    A network of convolutions adds; whether two things are there together is a product, and is given to it.
    """
    edges, clay, mask, depth = x[:, 8:9], x[:, 9:10], x[:, 7:8], x[:, 6:7]
    contrast = contrast_of(x[:, :3])
    around = window_mean(contrast, 17)
    relative = (contrast / (2 * around + 0.01)).clamp(0, 2)
    shaded = (_gradient(clay) + _gradient(depth) + _gradient(mask)).clamp(0, 1)
    near_edge, near_contrast = _widened(edges), _widened(relative).clamp(0, 1)
    return torch.cat(
        [
            4 * contrast, relative, shaded, relative * (1 - near_edge), edges * (1 - near_contrast),
            4 * contrast * (1 - near_edge), edges * near_contrast, relative * shaded,
        ],
        1,
    )  # fmt: skip


def contrast_of(colours: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W): the largest gradient of the colours (B, 3, H, W) at each place."""
    return _gradient(colours).amax(1, keepdim=True)


def _gradient(x: torch.Tensor) -> torch.Tensor:
    """The size of each channel's gradient by Sobel's differences."""
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    down = padded[..., 2:, :] - padded[..., :-2, :]
    across = padded[..., :, 2:] - padded[..., :, :-2]
    dy = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 8
    dx = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 8
    return torch.hypot(dx, dy)


# A square's mean and maximum, along one side and then along the other: the same, with far less work.
def window_mean(x: torch.Tensor, side: int) -> torch.Tensor:
    """Means of (B, C, H, W) over squares of an odd side around each place, as far as these lie within."""
    down = functional.avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return functional.avg_pool2d(down, (1, side), 1, (0, side // 2), count_include_pad=False)


def _widened(x: torch.Tensor) -> torch.Tensor:
    down = functional.max_pool2d(x, (2 * NEAR_PX + 1, 1), 1, (NEAR_PX, 0))
    return functional.max_pool2d(down, (1, 2 * NEAR_PX + 1), 1, (0, NEAR_PX))


class Block(nn.Module):
    """Two 3 by 3 convolutions around a bypass."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) to the same."""
        inner: torch.Tensor = self.second(functional.silu(self.first(functional.silu(x))))
        return x + inner


class JudgeNetwork(nn.Module):
    """(B, 14, H, W) to logits (B, 3, H/2, W/2). Colours and maps in 0 to 1, normals in -1 to 1."""

    def __init__(self, widths: tuple[int, int, int, int] = (16, 48, 96, 160)) -> None:
        super().__init__()
        full, half, quarter, eighth = widths
        self.stem = nn.Conv2d(INPUTS + COMPARISONS, full, 3, padding=1)
        self.down1 = nn.Conv2d(full, half, 3, 2, 1)
        self.block1 = Block(half)
        self.down2 = nn.Conv2d(half, quarter, 3, 2, 1)
        self.block2 = Block(quarter)
        self.down3 = nn.Conv2d(quarter, eighth, 3, 2, 1)
        self.block3 = nn.Sequential(Block(eighth), Block(eighth, 2))
        self.up2 = nn.Conv2d(eighth, quarter, 1)
        self.merge2 = Block(quarter)
        self.up1 = nn.Conv2d(quarter, half, 1)
        self.merge1 = Block(half)
        self.head = nn.Conv2d(half, ANSWERS, 1)
        with torch.no_grad():
            self.head.bias.fill_(-4.0)  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        whole = functional.silu(self.stem(torch.cat([x, compared(x)], 1)))
        half = self.block1(self.down1(whole))
        quarter = self.block2(self.down2(half))
        eighth = self.block3(self.down3(quarter))
        quarter = self.merge2(quarter + _twice(self.up2(eighth)))
        half = self.merge1(half + _twice(self.up1(quarter)))
        answer: torch.Tensor = self.head(functional.silu(half))
        return answer


def both_ways(network: JudgeNetwork, x: torch.Tensor) -> torch.Tensor:
    """The mean of the logits of an input and of its mirror image, which tell of the same shapes."""
    turned = x.flip(-1)
    turned[:, 3] *= -1  # normals to the right now point to the left
    return (network(x) + network(turned).flip(-1)) / 2


def _twice(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
