"""The pieces under the decoder: the linear encoder, filling holes, the two layers, the hints."""

from __future__ import annotations

import torch

from workers.studio import StudioAutoencoder, StudioHintEncoder
from workers.studio.autoencoder import PatchTransform
from workers.studio.control import FEATURES, features, fill_in, solid_cells


def test_all_components_of_a_patch_bring_the_picture_back() -> None:
    transform = PatchTransform(192)
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    torch.testing.assert_close(transform.decode(transform.encode(pixels)), pixels, atol=1e-5, rtol=0)


def test_a_hole_is_filled_from_what_surrounds_the_part_not_from_the_part() -> None:
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 64:192, 64:192] = 1
    mask[..., 112:144, 112:144] = 0
    latents = torch.where(mask[..., ::16, ::16] > 0, 5.0, -1.0)
    on_part, on_rest = solid_cells(mask, 16)
    rest, part = fill_in(latents, on_rest), fill_in(latents, on_part)
    assert torch.allclose(rest, torch.tensor(-1.0), atol=1e-2)
    assert torch.allclose(part, torch.tensor(5.0), atol=5e-2)


def test_without_geometry_all_is_surroundings() -> None:
    on_part, on_rest = solid_cells(torch.zeros(1, 1, 64, 64), 16)
    latents = torch.randn(1, 16, 4, 4)
    assert not on_part.any()
    torch.testing.assert_close(fill_in(latents, on_rest), latents, atol=1e-3, rtol=1e-3)
    assert torch.isfinite(fill_in(latents, on_part)).all()


def test_no_geometry_has_no_features(control) -> None:
    assert features(control).shape == (1, FEATURES, 64, 64)
    assert not features(torch.zeros_like(control)).any()


def test_the_mask_decides_which_layer_is_seen(control) -> None:
    torch.manual_seed(0)
    decoder = StudioAutoencoder(16, (8, 8, 16, 16), core_width=16).eval()
    with torch.no_grad():
        decoder.full_out.bias.copy_(torch.tensor([9.0] * 3 + [-9.0] * 3))
        decoder.full_out.weight.zero_()
        decoder.half_out.weight.zero_()
        picture = decoder.decode(torch.zeros(1, 16, 4, 4), control)
    on_part = control[:, 4:5].expand_as(picture) > 0.5
    assert picture[on_part].min() > 0
    assert picture[~on_part].max() < 0


def test_hints_are_linear_in_their_strength_and_fit_odd_sizes() -> None:
    encoder = StudioHintEncoder((16, 32, 32)).eval()
    control = torch.rand(1, 8, 80, 112)
    with torch.no_grad():
        whole, half, none = (encoder(control, torch.tensor([s])) for s in (1.0, 0.5, 0.0))
    assert [tuple(one.shape[-2:]) for one in whole[1]] == [(5, 7), (3, 4), (2, 2)]
    torch.testing.assert_close(whole[0] / 2, half[0])
    assert not any(one.any() for one in none[1])


def test_a_decoder_listens_to_the_prompt_once_it_has_learned_to(control) -> None:
    torch.manual_seed(0)
    made = StudioAutoencoder(4, (8, 8, 16, 16), 16, text_width=8)
    latents, text = torch.randn(1, 4, 4, 4), torch.randn(1, 6, 8)
    silent = made.decode(latents, control)
    torch.testing.assert_close(made.decode(latents, control, text), silent)
    torch.nn.init.normal_(made.wording.say[1].weight)
    assert not torch.allclose(made.decode(latents, control, text), silent)
    torch.testing.assert_close(made.decode(latents, control), silent)
