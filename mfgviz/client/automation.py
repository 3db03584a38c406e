"""Rules: added, tried, and what they did."""

from __future__ import annotations

from mfgviz import wire
from mfgviz.client.connection import Connection, segment


class AutomationClient(Connection):
    """See `Client`."""

    def rules(self) -> list[wire.Rule]:
        """All rules, by name."""
        return self._get(wire.Page[wire.Rule], "/rules").items

    def rule(self, name: str) -> wire.Rule:
        """One rule."""
        return self._get(wire.Rule, f"/rules/{segment(name)}")

    def add_rule(self, new: wire.NewRule) -> wire.Rule:
        """Add a rule."""
        return self._send(wire.Rule, "POST", "/rules", new)

    def change_rule(self, name: str, change: wire.RuleChange) -> wire.Rule:
        """Let a rule apply, or not for now."""
        return self._send(wire.Rule, "PATCH", f"/rules/{segment(name)}", change)

    def remove_rule(self, name: str) -> None:
        """Drop a rule; its jobs stay."""
        self._request("DELETE", f"/rules/{segment(name)}")

    def test_rule(self, name: str, reference: str) -> wire.RuleTest:
        """What a rule would do if its event happened to a revision now. Changes nothing."""
        return self._get(wire.RuleTest, f"/rules/{segment(name)}/test", revision=reference)

    def rule_runs(self, name: str | None = None, limit: int = 50) -> list[wire.RuleRun]:
        """What rules did, or one of them, the newest first."""
        return self._get(wire.Page[wire.RuleRun], "/rule-runs", rule=name, limit=limit).items
