"""Events, rules and what they did, as they go over HTTP."""

from __future__ import annotations
