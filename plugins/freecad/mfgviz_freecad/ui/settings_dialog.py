"""The settings dialog: server and token, whether they work, and habits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.connect import ConnectStringError, Server, parse_connect_string
from ..core.preferences import Preferences
from ..core.problems import Problem
from ..i18n import tr
from ..net.http import Answer, Api
from ..qt import Qt, QtWidgets, Signal
from .forms import SIDES_PX
from .widgets import Notice, mute

WIDTH_PX = 500
MARGIN_PX = 24


class SettingsDialog(QtWidgets.QDialog):  # type: ignore[misc]
    """Signal: `chosen(preferences, token | None)`; None keeps the token that is kept."""

    chosen = Signal(object, object)

    def __init__(
        self, preferences: Preferences, has_token: bool, known_token: str, parent: Any = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("mfgviz_settings")
        self.setWindowTitle(tr("mfgviz settings"))
        self._preferences, self._known_token = preferences, known_token
        self._api: Api | None = None
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
        self.on_save = QtWidgets.QCheckBox(
            tr("Render each time a document is saved and its shape has changed")
        )
        self.on_save.setChecked(preferences.render_on_save)
        self.embed = QtWidgets.QCheckBox(tr("Embed the first picture of each job in the document"))
        self.embed.setChecked(preferences.embed_when_done)
        buttons = QtWidgets.QDialogButtonBox(
            QtWidgets.QDialogButtonBox.Ok | QtWidgets.QDialogButtonBox.Cancel
        )
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(self._server_box())
        layout.addWidget(self._habits_box())
        layout.addWidget(buttons)
        self.url.textChanged.connect(self._url_changed)
        self.setFixedWidth(WIDTH_PX)

    def _server_box(self) -> Any:
        box = QtWidgets.QGroupBox(tr("Server"))
        grid = _grid(box)
        hint = self._hint = QtWidgets.QLabel(
            tr("Paste the connect string into the address: the token is taken out of it and kept "
               "in the system's keyring, or where there is none in a file that only you can read.")
        )  # fmt: skip
        hint.setWordWrap(True)
        grid.addWidget(QtWidgets.QLabel(tr("Address")), 0, 0)
        grid.addWidget(self.url, 0, 1)
        grid.addWidget(QtWidgets.QLabel(tr("Token")), 1, 0)
        grid.addWidget(self.token, 1, 1)
        grid.addWidget(mute(hint), 2, 1)
        grid.addWidget(self.test, 3, 1, Qt.AlignLeft)
        grid.addWidget(self.verdict, 4, 0, 1, 2)
        return box

    def _habits_box(self) -> Any:
        box = QtWidgets.QGroupBox(tr("Defaults"))
        grid = _grid(box)
        rows = ((tr("View"), self.view), (tr("Size"), self.side), (tr("Pictures"), self.count))
        for row, (text, widget) in enumerate(rows):
            widget.setMinimumWidth(140)
            grid.addWidget(QtWidgets.QLabel(text), row, 0)
            grid.addWidget(widget, row, 1, Qt.AlignLeft)
        grid.addWidget(self.on_save, 3, 0, 1, 2)
        grid.addWidget(self.embed, 4, 0, 1, 2)
        return box

    def _tell(self, mark: str, text: str) -> None:
        self.verdict.tell(mark, text)
        self._fit()

    def _fit(self) -> None:
        """As high as the texts need at this width: Qt's layouts learn of that only some events later."""
        inside = self.width() - 2 * MARGIN_PX
        self._hint.setMinimumHeight(self._hint.heightForWidth(self._hint.width()))
        verdict = self.verdict.layout()
        verdict.activate()
        self.verdict.setMinimumHeight(verdict.totalHeightForWidth(inside) if self.verdict.text else 0)
        self.adjustSize()

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """The texts have their widths and fonts now."""
        super().showEvent(event)
        self._fit()

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
            self._tell("error", tr(str(error)))
            return
        if not server.token:
            self._tell(
                "mark_doubtful", tr("Enter a token. `mfgviz up` prints one; your administrator makes others.")
            )
            return
        self.test.setEnabled(False)
        self._tell("info", tr("Asking {url} …", url=server.url))
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
        self._tell("error", problem.sentences())

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
                version=me.get("server_version"),
            ),
            tr("Models: {names}.", names=names or tr("none")),
        ]
        mark = "mark_true"
        if "submit" not in (me.get("scopes") or ["submit"]):
            mark = "mark_doubtful"
            lines.append(
                tr("This token may look, but not ask for renders. Ask for one with the role engineer.")
            )
        if server.sends_token_in_the_clear:
            mark = "mark_doubtful"
            lines.append(tr("The token goes over the network unencrypted. Use https where you can."))
        self._tell(mark, "\n".join(lines))

    def _accept(self) -> None:
        try:
            server = self.server()
        except ConnectStringError as error:
            self._tell("error", tr(str(error)))
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


def _grid(box: Any) -> Any:
    grid = QtWidgets.QGridLayout(box)
    grid.setColumnMinimumWidth(0, 70)
    grid.setColumnStretch(1, 1)
    grid.setVerticalSpacing(7)
    return grid


def role_word(role: str) -> str:
    """A role, in words."""
    words = {
        "viewer": tr("viewer"),
        "engineer": tr("engineer"),
        "approver": tr("approver"),
        "admin": tr("administrator"),
    }
    return words.get(role, role)
