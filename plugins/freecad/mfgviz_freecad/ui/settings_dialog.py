"""The settings dialog: server and token, whether they work, and habits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.connect import ConnectStringError, Server, parse_connect_string
from ..core.preferences import Preferences
from ..core.problems import Problem
from ..i18n import tr
from ..net.http import Answer, Api
from ..qt import QtWidgets, Signal
from .dock import SIDES_PX
from .widgets import Notice


class SettingsDialog(QtWidgets.QDialog):  # type: ignore[misc]
    """Signal: `chosen(preferences, token | None)`; None keeps the token that is kept."""

    chosen = Signal(object, object)

    def __init__(self, preferences: Preferences, has_token: bool, known_token: str, parent: Any = None) -> None:
        super().__init__(parent)
        self.setObjectName("mfgviz_settings")
        self.setWindowTitle(tr("mfgviz settings"))
        self._preferences, self._known_token, self._api = preferences, known_token, None
        self._found_server = preferences.server_url
        self.url = QtWidgets.QLineEdit(preferences.server_url)
        self.url.setObjectName("mfgviz_url")
        self.url.setToolTip(tr("The connect string that `mfgviz up` prints, or the server's address"))
        self.token = QtWidgets.QLineEdit()
        self.token.setObjectName("mfgviz_token")
        self.token.setEchoMode(QtWidgets.QLineEdit.Password)
        self.token.setPlaceholderText(tr("kept; enter another to replace it") if has_token else tr("mfgv_…"))
        self.test = QtWidgets.QPushButton(tr("Test connection"))
        self.test.setObjectName("mfgviz_test")
        self.test.setAutoDefault(False)
        self.test.clicked.connect(self.try_connection)
        self.verdict = Notice()
        self.view, self.side = QtWidgets.QComboBox(), QtWidgets.QComboBox()
        for text, name in (
            (tr("Isometric"), "iso"), (tr("Front"), "front"), (tr("Rear"), "back"), (tr("Left"), "left"),
            (tr("Right"), "right"), (tr("Top"), "top"), (tr("Bottom"), "bottom"),
        ):  # fmt: skip
            self.view.addItem(text, name)
        for side in SIDES_PX:
            self.side.addItem(f"{side} px", side)
        self.view.setCurrentIndex(max(self.view.findData(preferences.view), 0))
        self.side.setCurrentIndex(max(self.side.findData(preferences.side_px), 0))
        self.count = QtWidgets.QSpinBox()
        self.count.setRange(1, 64)
        self.count.setValue(preferences.count)
        self.on_save = QtWidgets.QCheckBox(tr("Render each time a document is saved and its shape has changed"))
        self.on_save.setChecked(preferences.render_on_save)
        self.embed = QtWidgets.QCheckBox(tr("Embed the first picture of each job in the document"))
        self.embed.setChecked(preferences.embed_when_done)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Ok | QtWidgets.QDialogButtonBox.Cancel)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(self._server_box())
        layout.addWidget(self._habits_box())
        layout.addWidget(buttons)
        self.url.textChanged.connect(self._url_changed)
        self.setMinimumWidth(460)

    def _server_box(self) -> Any:
        box = QtWidgets.QGroupBox(tr("Server"))
        form = QtWidgets.QFormLayout(box)
        form.setFieldGrowthPolicy(QtWidgets.QFormLayout.ExpandingFieldsGrow)
        form.addRow(tr("Address"), self.url)
        form.addRow(tr("Token"), self.token)
        hint = QtWidgets.QLabel(
            tr("Paste the connect string into the address: the token is taken out of it. "
               "It is kept in the system's keyring where there is one, else in a file that only you can read.")
        )  # fmt: skip
        hint.setWordWrap(True)
        hint.setEnabled(False)
        form.addRow("", hint)
        form.addRow("", self.test)
        form.addRow(self.verdict)
        return box

    def _habits_box(self) -> Any:
        box = QtWidgets.QGroupBox(tr("Defaults"))
        form = QtWidgets.QFormLayout(box)
        form.addRow(tr("View"), self.view)
        form.addRow(tr("Size"), self.side)
        form.addRow(tr("Pictures"), self.count)
        form.addRow("", self.on_save)
        form.addRow("", self.embed)
        return box

    def _url_changed(self, text: str) -> None:
        if "#token=" not in text:
            return
        try:
            server = parse_connect_string(text)
        except ConnectStringError:
            return
        if server.token:
            self.token.setText(server.token)
            self.url.setText(server.url)

    def server(self) -> Server:
        """What is set. Raises ConnectStringError."""
        server = parse_connect_string(self.url.text())
        token = self.token.text().strip() or server.token
        if not token and server.url == self._found_server:
            token = self._known_token
        return Server(server.url, token)

    def try_connection(self) -> None:
        """Ask the server who we are and what it has; say it, or what to do."""
        try:
            server = self.server()
        except ConnectStringError as error:
            self.verdict.tell("error", tr(str(error)))
            return
        if not server.token:
            self.verdict.tell("mark_doubtful", tr("Enter a token. `mfgviz up` prints one; your administrator makes others."))
            return
        self.test.setEnabled(False)
        self.verdict.tell("info", tr("Asking {url} …", url=server.url))
        if self._api is not None:
            self._api.close()
        api = self._api = Api(server, self)

        def met(answer: Answer) -> None:
            if answer.problem is not None:
                self._failed(answer.problem)
            else:
                api.get("/models", lambda models: self._works(server, answer.json, models))

        api.get("/me", met)

    def _failed(self, problem: Problem) -> None:
        self.test.setEnabled(True)
        self.verdict.tell("error", problem.sentences())

    def _works(self, server: Server, me: dict[str, Any], models: Answer) -> None:
        if models.problem is not None:
            self._failed(models.problem)
            return
        self.test.setEnabled(True)
        names = ", ".join(str(one.get("name")) for one in models.json.get("items") or [])
        lines = [
            tr(
                "Connected as {who} ({role}) to mfgviz {version}.",
                who=me.get("requester"),
                role=role_word(str(me.get("role"))),
                version=(me.get("server") or {}).get("version"),
            ),
            tr("Models: {names}.", names=names or tr("none")),
        ]
        mark = "mark_true"
        if "submit" not in (me.get("scopes") or ["submit"]):
            mark = "mark_doubtful"
            lines.append(tr("This token may look, but not ask for renders. Ask for one with the role engineer."))
        if server.sends_token_in_the_clear:
            mark = "mark_doubtful"
            lines.append(tr("The token goes over the network unencrypted. Use https where you can."))
        self.verdict.tell(mark, "\n".join(lines))

    def _accept(self) -> None:
        try:
            server = self.server()
        except ConnectStringError as error:
            self.verdict.tell("error", tr(str(error)))
            return
        changed = replace(
            self._preferences,
            server_url=server.url,
            view=str(self.view.currentData()),
            side_px=int(self.side.currentData()),
            count=self.count.value(),
            render_on_save=self.on_save.isChecked(),
            embed_when_done=self.embed.isChecked(),
        )
        token = server.token if server.token and server.token != self._known_token else None
        self.chosen.emit(changed, token)
        self.accept()


def role_word(role: str) -> str:
    """A role, in words."""
    words = {
        "viewer": tr("viewer"), "engineer": tr("engineer"), "approver": tr("approver"), "admin": tr("administrator"),
    }  # fmt: skip
    return words.get(role, role)
