"""One process's connections, each made at its first use, from one frozen `Settings`."""

from __future__ import annotations

from functools import cached_property

from mfgviz.database import Database
from mfgviz.live import Live
from mfgviz.queue import Doorbell
from mfgviz.settings import Settings
from mfgviz.storage import BlobStore


class Runtime:
    """What an entry point (a command, a worker, a server) talks to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def db(self) -> Database:
        """The database."""
        made = Database.from_settings(self.settings)
        made.after_events = self.doorbell.ring_for_events
        return made

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store."""
        return BlobStore.from_settings(self.settings)

    @cached_property
    def doorbell(self) -> Doorbell:
        """The broker, to ring workers."""
        return Doorbell(self.settings)

    @cached_property
    def live(self) -> Live:
        """Live progress of jobs."""
        return Live(self.settings)

    def close(self) -> None:
        """Close what was opened."""
        for name in ("db", "doorbell", "live"):
            opened = self.__dict__.pop(name, None)
            if isinstance(opened, Database):
                opened.dispose()
            elif isinstance(opened, Doorbell | Live):
                opened.close()
