"""FID, KID and IS on Inception's features, with weights in a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mfgviz.errors import InvalidModelError
from workers.evaluation.classes import of_inception
from workers.evaluation.inception import FID_CLASSES, InceptionV3, load_inception


def lively(classes: int) -> InceptionV3:
    """Random weights under which pictures do not fade to nothing."""
    network = InceptionV3(classes).eval()
    for one in network.modules():
        if isinstance(one, nn.Conv2d):
            nn.init.kaiming_normal_(one.weight)
    return network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as users have it: torchvision's names, with the classifier beside that only training needs."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    network = lively(FID_CLASSES)
    state = {name: value.half() for name, value in network.state_dict().items()}
    save_file(state | {"AuxLogits.fc.weight": torch.zeros(4, 4)}, path)
    return path


def test_a_set_is_at_no_distance_from_itself_and_at_some_from_another(weights: Path) -> None:
    network = load_inception(weights)
    torch.manual_seed(1)
    first, second = torch.rand(4, 3, 40, 40), torch.rand(4, 3, 40, 40) * 0.2
    same, other = (of_inception(one, first, network) for one in (first, second))
    assert same["inception_fid"] == pytest.approx(0, abs=1e-3)
    assert other["inception_fid"] > 1e-2
    assert other["inception_is"] >= 1


def test_without_weights_there_is_no_figure() -> None:
    pictures = torch.rand(3, 3, 8, 8)
    assert set(of_inception(pictures, pictures, None).values()) == {None}


def test_both_kinds_of_weights_are_known_by_their_classes() -> None:
    torch.manual_seed(0)
    original, other = lively(FID_CLASSES), lively(1000)
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert float(original._scaled(grey).abs().max()) == pytest.approx(0, abs=1e-6)
    assert float(other._scaled(grey)[0, 0, 0, 0]) == pytest.approx((0.5 - 0.485) / 0.229, rel=1e-5)
    same = {n: v for n, v in original.state_dict().items() if not n.startswith("fc.")}
    other.load_state_dict(same, strict=False)
    pictures = torch.rand(1, 3, 299, 299)
    with torch.inference_mode():
        assert not torch.equal(original(pictures)[0], other(pictures)[0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read as safetensors"),
        ({"a": torch.zeros(1)}, "has no fc.weight"),
        ({"fc.weight": torch.zeros(1000, 2048)}, "does not fit Inception V3: Missing key"),
    ],
)
def test_other_files_are_refused(content: dict[str, torch.Tensor] | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    if content is None:
        path.write_bytes(b"no weights")
    else:
        save_file(content, path)
    with pytest.raises(InvalidModelError, match=says) as caught:
        load_inception(path)
    assert str(path) in caught.value.message
    assert "timm/inception_v3" in caught.value.remedy
