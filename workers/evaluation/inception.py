"""Inception V3 (Szegedy et al. 2016), which FID, KID and IS are defined on, for weights that the user has.

None ship. They are a safetensors file under torchvision's names, of which there are two kinds: those of the
original FID (Heusel et al. 2017: 1008 classes, pictures in -1..1, means that leave the border out), with
which figures compare with published ones, and torchvision's own (1000 classes, ImageNet's mean and
deviation).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from mfgviz.errors import InvalidModelError

SIZE_PX = 299
FID_CLASSES = 1008
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16
Size = int | tuple[int, int]


class Conv(nn.Module):
    """A convolution that keeps the size unless it has a stride; batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: Size = 1, *, stride: int = 1, pad: bool = True
    ) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if pad and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return functional.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side. `original`: pool as the original FID's network does."""

    def __init__(self, *, original: bool) -> None:
        super().__init__()
        self.original = original

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of 3 x 3."""
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=not self.original)


class MixedA(Mixed):
    """35 x 35: factors of 3 x 3."""

    def __init__(self, inputs: int, pool: int, *, original: bool) -> None:
        super().__init__(original=original)
        self.branch1x1 = Conv(inputs, 64)
        self.branch5x5_1, self.branch5x5_2 = Conv(inputs, 48), Conv(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inputs, 64), Conv(64, 96, 3)
        self.branch3x3dbl_3 = Conv(96, 96, 3)
        self.branch_pool = Conv(inputs, pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, 35, 35) to (B, 224 + pool, 35, 35)."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(self.pooled(x))], 1)


class MixedB(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Conv(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inputs, 64), Conv(64, 96, 3)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, 35, 35) to (B, 480 + C, 17, 17)."""
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, functional.max_pool2d(x, 3, 2)], 1)


class MixedC(Mixed):
    """17 x 17: factors of 7 x 7."""

    def __init__(self, inputs: int, inner: int, *, original: bool) -> None:
        super().__init__(original=original)
        self.branch1x1 = Conv(inputs, 192)
        self.branch7x7_1, self.branch7x7_2 = Conv(inputs, inner), Conv(inner, inner, (1, 7))
        self.branch7x7_3 = Conv(inner, 192, (7, 1))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Conv(inputs, inner), Conv(inner, inner, (7, 1))
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Conv(inner, inner, (1, 7)), Conv(inner, inner, (7, 1))
        self.branch7x7dbl_5 = Conv(inner, 192, (1, 7))
        self.branch_pool = Conv(inputs, 192)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, 17, 17) to (B, 768, 17, 17)."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(self.pooled(x))], 1)


class MixedD(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Conv(inputs, 192), Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Conv(inputs, 192), Conv(192, 192, (1, 7))
        self.branch7x7x3_3, self.branch7x7x3_4 = Conv(192, 192, (7, 1)), Conv(192, 192, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, 17, 17) to (B, 512 + C, 8, 8)."""
        seven = self.branch7x7x3_2(self.branch7x7x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, functional.max_pool2d(x, 3, 2)], 1)


class MixedE(Mixed):
    """8 x 8. The original FID's last one pools by the largest."""

    def __init__(self, inputs: int, *, original: bool, last: bool = False) -> None:
        super().__init__(original=original)
        self.largest = original and last
        self.branch1x1 = Conv(inputs, 320)
        self.branch3x3_1 = Conv(inputs, 384)
        self.branch3x3_2a, self.branch3x3_2b = Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inputs, 448), Conv(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1))
        self.branch_pool = Conv(inputs, 192)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, 8, 8) to (B, 2048, 8, 8)."""
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pool = functional.max_pool2d(x, 3, 1, 1) if self.largest else self.pooled(x)
        parts = [
            self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pool),
        ]  # fmt: skip
        return torch.cat(parts, 1)


class InceptionV3(nn.Module):
    """Pictures (B, 3, 299, 299), scaled as its weights want them, to features (B, 2048) and logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.original = original = classes == FID_CLASSES
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3, self.Conv2d_2b_3x3 = Conv(32, 32, 3, pad=False), Conv(32, 64, 3)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Conv(64, 80), Conv(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (
            MixedA(inputs, pool, original=original) for inputs, pool in ((192, 32), (256, 64), (288, 64))
        )
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            MixedC(768, inner, original=original) for inner in (128, 160, 160, 192)
        )
        self.Mixed_7a = MixedD(768)
        self.Mixed_7b = MixedE(1280, original=original)
        self.Mixed_7c = MixedE(2048, original=original, last=True)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and logits (B, classes)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        features = x.mean((2, 3))
        return features, self.fc(features)

    @torch.inference_mode()
    def look(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, 2048) and class probabilities of pictures (B, 3, H, W) in 0..1."""
        found = [self(self._scaled(some)) for some in pictures.split(BATCH)]
        features, logits = (torch.cat(some) for some in zip(*found, strict=True))
        return features, torch.softmax(logits, 1)

    def _scaled(self, pictures: torch.Tensor) -> torch.Tensor:
        size = (SIZE_PX, SIZE_PX)
        x = functional.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
        if self.original:
            return 2 * x - 1
        mean, deviation = (torch.tensor(of).view(1, 3, 1, 1) for of in (MEAN, DEVIATION))
        return (x - mean) / deviation


def load_inception(path: Path) -> InceptionV3:
    """The network with the user's weights.

    Raises:
        InvalidModelError: the file is none of safetensors, or not of this network.
    """
    remedy = "Give Inception V3 as safetensors under torchvision's names, such as timm/inception_v3.tv_in1k."
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidModelError(f"{path} cannot be read as safetensors: {error}", remedy=remedy) from error
    kept = {name: value.float() for name, value in weights.items() if not name.startswith("AuxLogits.")}
    if "fc.weight" not in kept or kept["fc.weight"].ndim != 2:
        raise InvalidModelError(f"{path} has no fc.weight, as Inception V3 has.", remedy=remedy)
    network = InceptionV3(len(kept["fc.weight"]))
    try:
        counters = {n: v for n, v in network.state_dict().items() if n.endswith(".num_batches_tracked")}
        network.load_state_dict(counters | kept)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise InvalidModelError(f"{path} does not fit Inception V3: {reason}", remedy=remedy) from error
    return network.eval().requires_grad_(False)
