"""Settings: where values come from, what is refused, what is masked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mfgviz.errors import InvalidSettingError
from mfgviz.masking import mask_secret, mask_text
from mfgviz.settings import Settings, explain_settings, load_settings, unknown_variables


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
        ({"MFGVIZ_FIDELITY_POLICY": "shrug"}, "fidelity_policy"),
        ({"MFGVIZ_FIDELITY_THRESHOLD": "1.2"}, "fidelity_threshold"),
        ({"MFGVIZ_FIDELITY_RETRIES": "0"}, "fidelity_retries"),
        ({"MFGVIZ_REQUESTER": " "}, "requester"),
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


SECRETS = {
    "postgresql://u:s3cr@ret@127.0.0.1/db": ("s3cr", "ret@"),
    "redis://u:s3cr/et@host/0": ("s3cr",),
    "redis://:hunter2@host/0": ("hunter2",),
    "postgresql://u:s3c#r?et@db/x": ("s3c", "r?et"),
    "redis://:ab@h": (":ab",),
    "redis:/:hunter2@h": ("hunter2",),
    "host=db password=hunter2": ("hunter2",),
    "https://u:s3cret@host/x": ("s3cret",),
    "s3://bucket/x?secret_access_key=s3cret&region=eu": ("s3cret",),
    "az://c/x?sas_token=s3cret": ("s3cret",),
    "https://a.blob.core.windows.net/c?sv=1&sig=s3cret%2Fab": ("s3cret",),
    "redis://host/0?password=s3cret": ("s3cret",),
}


@pytest.mark.parametrize(("url", "secrets"), SECRETS.items())
def test_no_piece_of_a_secret_is_shown_whatever_a_driver_makes_of_it(
    url: str, secrets: tuple[str, ...]
) -> None:
    piece = secrets[0] if len(secrets[0]) > 3 else "no number"
    told = f"{url} failed: Port could not be cast to integer value as {piece!r}"
    for shown in (mask_secret(url), mask_text(told, url)):
        assert "***" in shown
        assert not [secret for secret in secrets if secret in shown], shown


def test_stars_do_not_give_away_a_password_that_is_also_a_name() -> None:
    url = "postgresql://postgres:postgres@host/db"
    assert mask_secret(url) == "postgresql://postgres:***@host/db"
    assert mask_text(f'{url}: no password for user "postgres"', url).endswith('for user "postgres"')


def test_what_is_no_secret_stays() -> None:
    for url in (
        "sqlite:////tmp/a:b@c/x.db",
        "file:///tmp/a@b",
        "postgresql://u@host/db",
        "redis://host:6379/0",
    ):
        assert mask_secret(url) == url


@pytest.mark.parametrize(
    "changed",
    [
        {"broker_url": "sqs://x"},
        {"broker_url": "redis://h:notaport/0"},
        {"retry_delay_s": float("nan")},
        {"retry_delay_s": -5.0},
        {"lease_s": float("inf")},
    ],
)
def test_settings_that_could_never_work_are_refused_at_once(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match=next(iter(changed))):
        Settings(**changed)


def test_misspelt_variables_are_found() -> None:
    env = {"MFGVIZ_LEESE_S": "4", "MFGVIZ_LEASE_S": "4", "MFGVIZ_CONFIG": "x", "HOME": "/"}
    assert unknown_variables(env) == ["MFGVIZ_LEESE_S"]
