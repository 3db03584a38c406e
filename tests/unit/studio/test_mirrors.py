"""What metal mirrors: the room above, the ground below, and nothing for what is no metal."""

from __future__ import annotations

import pytest
import torch

from tests.unit.studio.test_lookups import face
from workers.studio import StudioPipeline
from workers.studio.control import CHANNELS
from workers.studio.lookups import picture_places
from workers.studio.mirrors import Mirrors, toned
from workers.studio.training.looks import LIGHTS
from workers.studio.training.mirrors import COUNTS, KINDS, LOBES, metal_tables, mirrored_rooms
from workers.studio.training.scene_tones import tone_map
from workers.studio.training.start import WEIGHTS

PLACES = picture_places(64, 64)


@pytest.fixture(scope="module")
def mirrors() -> Mirrors:
    """Rooms and metals, with readers that name nothing yet."""
    made = Mirrors(*COUNTS, 4)
    for kept, found in zip(
        (made.rooms, made.horizon, made.grounds, made.tints, made.roughness, made.streaked),
        (*mirrored_rooms(), *metal_tables()),
        strict=True,
    ):
        kept.copy_(found)
    made.strength.fill_(1)
    return made.requires_grad_(False)


def naming(mirrors: Mirrors, kind: tuple[str, str | None] | None, light: str = "studio") -> None:
    """Let every prompt name this metal, or none, this light, and the first ground."""
    metals, lights, _ = mirrors.counts
    mirrors.read.bias.zero_()
    mirrors.read.bias[KINDS.index(kind) if kind else metals - 1] = 30
    mirrors.read.bias[metals + list(LIGHTS).index(light)] = 30
    mirrors.read.bias[metals + lights] = 30


def test_tones_are_those_of_the_training_pictures() -> None:
    light = torch.linspace(0, 4, 200)
    torch.testing.assert_close(toned(light), torch.from_numpy(tone_map(light.numpy())), atol=1e-5, rtol=0)


def test_metals_have_their_lobes() -> None:
    tints, rough, streaked = metal_tables()
    assert [bool(depth) for depth in streaked] == [finish in ("brushed", "machined") for _, finish in KINDS]
    assert tints.shape == (len(KINDS), 3)
    torch.testing.assert_close(rough.sum(1), torch.ones(len(KINDS)))
    blasted = rough[KINDS.index(("aluminium", "blasted"))]
    assert blasted.argmax() == len(LOBES) - 1
    assert rough[KINDS.index(("brass", "polished"))].argmax() == 0


def test_a_rough_metal_mirrors_a_smoother_room(mirrors: Mirrors) -> None:
    spread = mirrors.rooms.unflatten(1, (-1, 3)).std((-1, -2)).mean(-1)
    assert (spread[:, :-1] > spread[:, 1:]).all()


def test_brass_is_yellow_and_steel_is_grey(mirrors: Mirrors) -> None:
    states = torch.zeros(1, 3, 4)
    for kind, coloured in ((("brass", "polished"), True), (("steel", "polished"), False)):
        naming(mirrors, kind)
        made, weight = mirrors(states, face((0.2, 0.5, 0.85)), PLACES)
        assert weight.min() > 0.99
        red, _, blue = (made[0] / 2 + 0.5).mean((1, 2))
        assert (float(red / blue) > 1.5) is coloured


def test_nothing_is_mirrored_by_what_is_no_metal_nor_off_the_part(mirrors: Mirrors) -> None:
    states, control = torch.zeros(1, 3, 4), face((0.2, 0.5, 0.85))
    control[..., 32:] = 0
    naming(mirrors, None)
    assert mirrors(states, control, PLACES)[1].max() < 1e-6
    naming(mirrors, ("steel", "polished"))
    weight = mirrors(states, control, PLACES)[1]
    assert weight[..., :32].min() > 0.99
    assert not weight[..., 32:].any()
    assert not mirrors(states, torch.zeros(1, CHANNELS, 64, 64), PLACES)[1].any()


def test_brushed_metal_is_streaked_where_polished_metal_is_even(mirrors: Mirrors) -> None:
    states, spread = torch.zeros(1, 3, 4), {}
    for finish in ("brushed", "machined", "polished"):
        naming(mirrors, ("steel", finish))
        made = mirrors(states, face((0.2, 0.5, 0.85)), PLACES)[0]
        spread[finish] = float(made.diff(dim=2).abs().mean())
    assert spread["brushed"] > 1.5 * spread["machined"]
    assert spread["machined"] > 1.3 * spread["polished"]


def test_a_hint_of_brushing_shows_nothing_in_brushed_company_either(mirrors: Mirrors) -> None:
    control = face((0.2, 0.5, 0.85)).expand(2, -1, -1, -1)
    shares = torch.zeros(2, len(KINDS))
    shares[:, KINDS.index(("steel", "polished"))] = torch.tensor([0.0, 0.97])
    shares[:, KINDS.index(("steel", "brushed"))] = torch.tensor([1.0, 0.03])
    made = mirrors._brushed(shares, torch.ones(2), control)
    assert made[0].std() > 0.02
    assert not made[1].any()


def test_faces_that_look_elsewhere_mirror_something_else(mirrors: Mirrors) -> None:
    states = torch.zeros(1, 3, 4)
    naming(mirrors, ("chrome", None))
    shown = [
        mirrors(states, face(normal), PLACES)[0][0, :, 32, 32]
        for normal in ((0.0, 0.87, 0.5), (0.0, -0.5, 0.87), (0.2, 0.5, 0.85))
    ]
    assert (shown[0] - shown[1]).abs().max() > 0.1
    assert (shown[0] - shown[2]).abs().max() > 0.1


def test_the_shipped_decoder_reads_which_metal_is_meant() -> None:
    pipeline = StudioPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    mirrors = pipeline.autoencoder.mirrors
    read = {
        "polished brass, studio light, dark grey background": ("brass", "polished"),
        "brushed aluminium, soft light, white background": ("aluminium", "brushed"),
        "copper, warm light, on a concrete floor": ("copper", "plain"),
        "red paint, studio light, white background": None,
        "oak wood, window light, on marble": None,
        "rusted steel, warm light, on a wooden bench": None,
    }
    for prompt, wanted in read.items():
        found = int(mirrors.named(pipeline.encode_prompt(prompt))[0].argmax())
        assert (KINDS[found] if found < len(KINDS) else None) == wanted, prompt
