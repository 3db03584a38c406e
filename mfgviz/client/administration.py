"""Health, views, templates, models, workers, tokens."""

from __future__ import annotations

import httpx

from mfgviz import wire
from mfgviz.client.connection import Connection, parse, segment


class AdministrationClient(Connection):
    """See `Client`."""

    def health(self, *, ready: bool = False) -> wire.Health:
        """How the server is: whether it answers, or whether it can do its work."""
        try:
            answer = self._http.get(f"{self.url}/{'readyz' if ready else 'healthz'}")
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error
        if answer.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
            raise self._refusal(answer)
        return parse(wire.Health, answer)

    def me(self) -> wire.Me:
        """Who the token speaks for, and what the server allows."""
        return self._get(wire.Me, "/me")

    def views(self) -> list[wire.ViewInfo]:
        """The standard views."""
        return self._get(wire.Page[wire.ViewInfo], "/views").items

    def templates(self) -> list[wire.Template]:
        """The prompt templates, by name."""
        return self._get(wire.Page[wire.Template], "/templates").items

    def template(self, name: str, version: int | None = None) -> wire.Template:
        """One template."""
        return self._get(wire.Template, f"/templates/{segment(name)}", version=version)

    def template_versions(self, name: str) -> list[wire.Template]:
        """All versions of a template, the newest first."""
        return self._get(wire.Page[wire.Template], f"/templates/{segment(name)}/versions").items

    def preview_template(self, name: str, body: wire.PreviewBody) -> wire.TemplatePreview:
        """The jobs that a submit with the template would ask for; nothing is submitted."""
        return self._send(wire.TemplatePreview, "POST", f"/templates/{segment(name)}/preview", body)

    def save_template(self, name: str, body: wire.TemplateBody) -> wire.Template:
        """Save a template as the next version of its name."""
        return self._send(wire.Template, "PUT", f"/templates/{segment(name)}", body)

    def retire_template(self, name: str) -> None:
        """Offer a template no more."""
        self._request("DELETE", f"/templates/{segment(name)}")

    def models(self) -> list[wire.ModelInfo]:
        """The recorded models, by name."""
        return self._get(wire.Page[wire.ModelInfo], "/models").items

    def model(self, name: str) -> wire.ModelInfo:
        """One model."""
        return self._get(wire.ModelInfo, f"/models/{segment(name)}")

    def workers(self) -> list[wire.WorkerInfo]:
        """The workers that reported themselves."""
        return self._get(wire.Page[wire.WorkerInfo], "/workers").items

    def queue(self) -> wire.QueueInfo:
        """How many jobs there are in each state."""
        return self._get(wire.QueueInfo, "/queue")

    def tokens(self) -> list[wire.TokenInfo]:
        """All tokens, the newest first."""
        return self._get(wire.Page[wire.TokenInfo], "/tokens").items

    def create_token(self, body: wire.NewTokenBody) -> wire.NewTokenAnswer:
        """Make a token."""
        return self._send(wire.NewTokenAnswer, "POST", "/tokens", body)

    def revoke_token(self, name: str) -> wire.TokenInfo:
        """Let a token open nothing any more."""
        return parse(wire.TokenInfo, self._request("DELETE", f"/tokens/{segment(name)}"))
