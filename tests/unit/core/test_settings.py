"""Settings: where values come from, what is refused, what is masked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mfgviz.errors import InvalidSettingError
from mfgviz.settings import Settings, explain_settings, load_settings, mask_secret


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = tmp_path / "mfgviz.toml"
    path.write_text('device = "cpu"\nclaim_images = 2\n')
    env = {"MFGVIZ_CONFIG": str(path), "MFGVIZ_CLAIM_IMAGES": "8"}
    settings = load_settings(env)
    assert (settings.device, settings.claim_images, settings.max_attempts) == ("cpu", 8, 3)
    sources = {row.name: row.source for row in explain_settings(env)}
    assert sources["device"] == str(path)
    assert sources["claim_images"] == "MFGVIZ_CLAIM_IMAGES"
    assert sources["max_attempts"] == "default"


def test_every_setting_is_explained_and_none_twice() -> None:
    rows = explain_settings({})
    assert [row.name for row in rows] == [field.name for field in dataclasses.fields(Settings)]
    assert all(row.doc.endswith(".") for row in rows)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"MFGVIZ_CLAIM_IMAGES": "many"}, "MFGVIZ_CLAIM_IMAGES"),
        ({"MFGVIZ_LEASE_S": "0"}, "lease_s"),
        ({"MFGVIZ_LEASE_S": "nan"}, "lease_s"),
        ({"MFGVIZ_OFFLINE": "maybe"}, "true or false"),
        ({"MFGVIZ_DEVICE": "toaster"}, "device"),
        ({"MFGVIZ_SOFT_TIME_LIMIT_S": "9999"}, "hard_time_limit_s"),
        ({"MFGVIZ_CONFIG": "/nowhere/mfgviz.toml"}, "not a file"),
    ],
)
def test_what_cannot_be_used_is_named(env: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidSettingError, match=says):
        load_settings(env)


@pytest.mark.parametrize("text", ["device = ", "colour = 3", "\xff"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mfgviz.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidSettingError, match=r"mfgviz\.toml"):
        load_settings({"MFGVIZ_CONFIG": str(path)})


def test_passwords_are_masked_wherever_settings_are_shown() -> None:
    url = "postgresql://mfgviz:s3cret@db.example/mfgviz?sslpassword=alsosecret"
    shown = {row.name: row.value for row in explain_settings({"MFGVIZ_DATABASE_URL": url})}["database_url"]
    assert "s3cret" not in shown
    assert "alsosecret" not in shown
    assert mask_secret("redis://:s3cret@host:6379/0") == "redis://:***@host:6379/0"


def test_the_embedded_default_lives_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.sqlalchemy_url == f"sqlite:///{tmp_path}/mfgviz.db"
    assert settings.storage_url == (tmp_path / "blobs").as_uri()
    assert settings.celery_broker_url == f"redis+socket://{tmp_path}/redis/redis.sock"


def test_a_socket_path_that_is_too_long_moves_to_the_temporary_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    assert len(str(Settings(data_dir=deep).redis_socket)) < 100
    assert Settings(data_dir=deep).redis_socket == Settings(data_dir=deep).redis_socket
