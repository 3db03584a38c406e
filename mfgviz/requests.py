"""What is asked for: the view, the sampling, and the whole request whose hash is the fingerprint.

Everything that decides the picture is in a `RenderRequest`, and nothing else is: not who asked, not
which revision the picture will hang on (two revisions of the same file share a fingerprint). All
classes are frozen and refuse what cannot be rendered where it is defined.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from mfgviz.errors import InvalidRequestError, OutOfBoundsSizeError, UnknownSamplerError
from mfgviz.vocabulary import CUSTOM_VIEW, SAMPLERS, STANDARD_VIEWS, Mode, Projection

REQUEST_VERSION = 1
MAX_SEED = 2**63 - 1
MAX_COUNT = 64
MAX_STEPS = 1000
MIN_SIDE_PX = 64
MAX_SIDE_PX = 4096
SIZE_MULTIPLE_PX = 8

Vector = tuple[float, float, float]
# Control characters but tab and line ends, and halves of surrogate pairs.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
DIGEST = re.compile("[0-9a-f]{64}")
CLAY = "clay"


def _finite(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidRequestError(
            f"{name} is {value}, but must be a number from {low:g} to {high:g}.",
            remedy=f"Choose a {name} in that range.",
        )


def _whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequestError(
            f"{name} is {value}, but must be a whole number from {low} to {high}.",
            remedy=f"Choose a {name} in that range.",
        )


def check_size(width: int, height: int) -> None:
    """Refuse a picture's size that no model makes. Raises OutOfBoundsSizeError."""
    for name, side in (("width", width), ("height", height)):
        if side % SIZE_MULTIPLE_PX or not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
            near = min(max(round(side / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX, MIN_SIDE_PX), MAX_SIDE_PX)
            raise OutOfBoundsSizeError(
                f"The {name} is {side} px, but must be a multiple of {SIZE_MULTIPLE_PX} "
                f"from {MIN_SIDE_PX} to {MAX_SIDE_PX}.",
                remedy=f"The nearest is {near}.",
            )


def _direction(name: str, vector: Vector | None) -> Vector:
    if vector is None or not all(map(math.isfinite, vector)) or math.hypot(*vector) < 1e-9:
        raise InvalidRequestError(
            f"The custom view's {name} is {vector}, but must be three numbers that are not all zero.",
            remedy="Give the camera in part coordinates, in mm.",
        )
    return vector


@dataclass(frozen=True, slots=True)
class View:
    """Camera and framing in part coordinates (mm, Z up).

    A standard view is framed so that the whole part is seen with `margin` (a fraction of the
    image's side) left free around it. A custom view gives the camera itself: `eye_mm`, `forward`,
    `up`, and either `height_mm` (orthographic) or `field_of_view_deg` (perspective), both measured
    over the image's shorter side, which is FreeCAD's rule.
    """

    name: str = "iso"
    projection: Projection = Projection.PERSPECTIVE
    margin: float = 0.08
    field_of_view_deg: float = 30.0
    eye_mm: Vector | None = None
    forward: Vector | None = None
    up: Vector | None = None
    height_mm: float | None = None

    def __post_init__(self) -> None:
        if self.name not in (*STANDARD_VIEWS, CUSTOM_VIEW):
            raise InvalidRequestError(
                f"There is no view {self.name!r}.",
                remedy=f"Choose one of {', '.join(STANDARD_VIEWS)}, or give a custom camera.",
            )
        _finite("margin", self.margin, 0.0, 0.45)
        _finite("field_of_view_deg", self.field_of_view_deg, 1.0, 120.0)
        if self.name == CUSTOM_VIEW:
            self._check_custom()
        elif any(x is not None for x in (self.eye_mm, self.forward, self.up, self.height_mm)):
            raise InvalidRequestError(
                f"The view {self.name!r} has its own camera; another is for custom views.",
                remedy="Leave them out, or set the view's name to custom.",
            )

    def _check_custom(self) -> None:
        forward, up = _direction("forward", self.forward), _direction("up", self.up)
        if self.eye_mm is None or not all(map(math.isfinite, self.eye_mm)):
            raise InvalidRequestError(
                f"The custom view's eye_mm is {self.eye_mm}, but must be three numbers.",
                remedy="Give the camera's position in part coordinates, in mm.",
            )
        cosine = abs(sum(a * b for a, b in zip(forward, up, strict=True)))
        if cosine > 0.9999 * math.hypot(*forward) * math.hypot(*up):
            raise InvalidRequestError(
                "The custom view's forward and up directions are parallel.",
                remedy="Choose an up direction across the line of sight.",
            )
        if self.projection is Projection.ORTHOGRAPHIC:
            if self.height_mm is None:
                raise InvalidRequestError(
                    "An orthographic custom view has no height_mm.",
                    remedy="Say how much of the part, in mm, the image's shorter side shows.",
                )
            _finite("height_mm", self.height_mm, 1e-6, 1e9)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, by its recorded name and the hash of its weights (hex SHA-256)."""

    name: str
    weights_digest: str
    family: str


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How the diffusion is sampled; the names and meanings are diffusers'."""

    sampler: str
    num_inference_steps: int
    guidance_scale: float
    seed: int = 0
    width: int = 512
    height: int = 512
    count: int = 1

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise UnknownSamplerError(
                f"There is no sampler {self.sampler!r}.", remedy=f"Choose one of {', '.join(SAMPLERS)}."
            )
        _whole("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        _finite("guidance_scale", self.guidance_scale, 0.0, 50.0)
        _whole("count", self.count, 1, MAX_COUNT)
        _whole("seed", self.seed, 0, MAX_SEED - self.count)
        check_size(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What holds the picture to the part.

    `control_scale` is the geometry strength, 0 (only the idea) to 1 (every edge). In image mode
    the sampling starts from `image` ("clay" for the part's own clay pass, else a blob's digest)
    with noise added to `strength` (diffusers' meaning: 1 forgets the image).
    """

    mode: Mode = Mode.CONTROL
    control_scale: float = 1.0
    image: str | None = None
    strength: float = 0.7

    def __post_init__(self) -> None:
        _finite("control_scale", self.control_scale, 0.0, 1.0)
        _finite("strength", self.strength, 0.01, 1.0)
        if self.image is not None and self.image != CLAY and not DIGEST.fullmatch(self.image):
            raise InvalidRequestError(
                f"The starting image is {self.image[:80]!r}, but must be {CLAY!r} or a blob's digest.",
                remedy="`mfgviz jobs submit --image FILE` stores a file and uses its digest.",
            )
        if (self.mode == Mode.IMAGE) != (self.image is not None):
            raise InvalidRequestError(
                "A starting image belongs to image mode, and only there.",
                remedy="Give an image with mode image; leave it out otherwise.",
            )


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """All that decides the picture.

    `geometry_digest` is the hex SHA-256 of the CAD file's bytes. Image k of a request is sampled
    with seed + k.
    """

    geometry_digest: str
    prompt: str
    model: ModelChoice
    sampling: SamplingSettings
    negative_prompt: str = ""
    view: View = field(default_factory=View)
    conditioning: Conditioning = field(default_factory=Conditioning)
    version: int = REQUEST_VERSION

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise InvalidRequestError("The prompt is empty.", remedy="Say in words what the part looks like.")
        for name, text in (("prompt", self.prompt), ("negative_prompt", self.negative_prompt)):
            if len(text) > 4000:
                raise InvalidRequestError(
                    f"The {name} has {len(text)} characters; 4000 are read.", remedy="Shorten it."
                )
            if _NO_TEXT.search(text):
                raise InvalidRequestError(
                    f"The {name} holds characters that are no text.", remedy="Give it as UTF-8."
                )
        if self.version != REQUEST_VERSION:
            raise InvalidRequestError(
                f"The request is of version {self.version}; this mfgviz reads version {REQUEST_VERSION}.",
                remedy="Install the mfgviz that wrote it.",
            )

    def as_json(self) -> dict[str, Any]:
        """The request as plain JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_json(cls, plain: object) -> RenderRequest:
        """Read a request back.

        Raises:
            InvalidRequestError: a field is missing, unknown or of the wrong kind.
        """
        try:
            request = msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"The request cannot be read: {error}.") from error
        return request

    def fingerprint(self) -> str:
        """Hex SHA-256 of the canonical JSON: same fingerprint, same picture."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    def batch_key(self) -> str:
        """Requests of the same key can be sampled together in one batch."""
        alike = replace(self.sampling, seed=0, count=1)
        how = replace(self.conditioning, image=None if self.conditioning.image is None else CLAY)
        shape = (self.model, alike, how)
        return hashlib.sha256(msgspec.json.encode(shape, order="deterministic")).hexdigest()[:32]
