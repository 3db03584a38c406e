"""Where the token is kept: the system's keyring where there is one, else a file only its owner reads.

All of this may wait for a keyring that asks for its password: never call it on the window's thread.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from .files import read_json, write_json

SERVICE = "mfgviz-freecad"
WAIT_S = 60.0


class KeyringError(Exception):
    """The keyring could not be used."""


class TokenKeeper(Protocol):
    """A place for tokens, by the server's URL."""

    title: str

    def get(self, url: str) -> str:
        """The token, or nothing. Raises KeyringError."""

    def put(self, url: str, token: str) -> None:
        """Keep it. Raises KeyringError."""

    def drop(self, url: str) -> None:
        """Forget it. Raises KeyringError."""


class SecretTool:
    """The desktop's secret service (GNOME keyring, KWallet), by libsecret's `secret-tool`."""

    title = "the system's keyring"

    def get(self, url: str) -> str:
        """By lookup; that there is none is no error."""
        done = _run(["secret-tool", "lookup", "service", SERVICE, "url", url], allowed=(0, 1))
        if done.returncode and done.stderr.strip():
            raise KeyringError(done.stderr.strip())
        return done.stdout.strip()

    def put(self, url: str, token: str) -> None:
        """The token goes through a pipe: arguments are seen by other users."""
        _run(["secret-tool", "store", "--label", f"mfgviz {url}", "service", SERVICE, "url", url], token)

    def drop(self, url: str) -> None:
        """By clear; that there is none is no error."""
        _run(["secret-tool", "clear", "service", SERVICE, "url", url], allowed=(0, 1))


class MacKeychain:
    """macOS's keychain, by `security`, which reads its commands from a pipe."""

    title = "the keychain"

    def get(self, url: str) -> str:
        """Status 44 says that there is none."""
        done = _run(["security", "find-generic-password", "-s", SERVICE, "-a", url, "-w"], allowed=(0, 44))
        return done.stdout.strip() if done.returncode == 0 else ""

    def put(self, url: str, token: str) -> None:
        """-U replaces the one before."""
        _run(["security", "-i"], f'add-generic-password -U -s "{SERVICE}" -a "{url}" -w "{token}"\n')

    def drop(self, url: str) -> None:
        """Status 44 says that there is none."""
        _run(["security", "delete-generic-password", "-s", SERVICE, "-a", url], allowed=(0, 44))


class KeyringModule:
    """The Python package `keyring`, where the host has it (Windows' credential store, and others)."""

    title = "the system's keyring"

    def get(self, url: str) -> str:
        """By the package's own backend."""
        return str(self._call("get_password", url) or "")

    def put(self, url: str, token: str) -> None:
        """By the package's own backend."""
        self._call("set_password", url, token)

    def drop(self, url: str) -> None:
        """By the package's own backend."""
        if self.get(url):
            self._call("delete_password", url)

    def _call(self, name: str, *values: str) -> object:
        import keyring

        try:
            return getattr(keyring, name)(SERVICE, *values)
        except Exception as error:
            raise KeyringError(type(error).__name__) from error


class TokenFile:
    """`tokens.json`, mode 600, in FreeCAD's user folder."""

    title = "a file that only you can read"

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, url: str) -> str:
        """What the file has. A file that others could read is made private first."""
        if os.name == "posix" and self._path.exists() and self._path.stat().st_mode & 0o077:
            self._path.chmod(0o600)
        found = read_json(self._path).get(url, "")
        return found if isinstance(found, str) else ""

    def put(self, url: str, token: str) -> None:
        """Beside those of other servers."""
        write_json(self._path, {**read_json(self._path), url: token})

    def drop(self, url: str) -> None:
        """An empty file goes away."""
        held = read_json(self._path)
        if held.pop(url, None) is None:
            return
        if held:
            write_json(self._path, held)
        else:
            self._path.unlink()


class Tokens:
    """The keyring first, the file where that does not work."""

    def __init__(self, file: TokenFile, keyring: TokenKeeper | None) -> None:
        self._file, self._keyring = file, keyring

    def get(self, url: str) -> str:
        """The token for that server, or nothing."""
        if self._keyring is not None:
            try:
                found = self._keyring.get(url)
            except KeyringError:
                found = ""
            if found:
                return found
        return self._file.get(url)

    def put(self, url: str, token: str) -> str:
        """Keep it; where, in words. An empty token is forgotten."""
        if not token:
            self.drop(url)
            return ""
        if self._keyring is not None:
            try:
                self._keyring.put(url, token)
                if self._keyring.get(url) == token:
                    self._file.drop(url)
                    return self._keyring.title
            except KeyringError:
                pass
        self._file.put(url, token)
        return self._file.title

    def drop(self, url: str) -> None:
        """Forget it everywhere."""
        if self._keyring is not None:
            with suppress(KeyringError):
                self._keyring.drop(url)
        self._file.drop(url)


def find_keyring() -> TokenKeeper | None:
    """The system's keyring, where one can be reached."""
    system = platform.system()
    if system == "Darwin" and shutil.which("security"):
        return MacKeychain()
    if system == "Linux":
        reachable = shutil.which("secret-tool") and os.environ.get("DBUS_SESSION_BUS_ADDRESS")
        return SecretTool() if reachable else None
    return KeyringModule() if find_spec("keyring") else None


def _run(
    command: list[str], given: str = "", allowed: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=WAIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KeyringError(f"{command[0]} did not answer") from error
    if done.returncode not in allowed:
        raise KeyringError(f"{command[0]} ended with status {done.returncode}")
    return done
