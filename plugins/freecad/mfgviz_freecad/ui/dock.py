"""The dock: what to render, how, and what has become of it."""

from __future__ import annotations

from typing import Any

from ..core import prompts
from ..core.wishes import Identity, Wishes
from ..i18n import tr
from ..net.submission import state_word
from ..qt import Qt, QtCore, QtWidgets, Signal
from .forms import APPEARANCES, MATERIALS, SIDES_PX, choose, editable, grid_box, label, let_shrink, refill
from .icons import icon
from .strip import Strip
from .widgets import Notice, PreviewLabel, SeedBox, Strength

WIDTH_PX = 320


class Panel(QtWidgets.QWidget):  # type: ignore[misc]
    """The dock's content. It shows and asks; the controller knows what is to be done.

    Signals: `part_wanted()`, `view_wanted()`, `cancel_wanted()`, `settings_wanted()`;
    `identity_edited(identity)`; `wishes_edited()`; `notice_pressed(name)`; `refresh_wanted()`.
    """

    part_wanted = Signal()
    view_wanted = Signal()
    cancel_wanted = Signal()
    settings_wanted = Signal()
    refresh_wanted = Signal()
    identity_edited = Signal(object)
    wishes_edited = Signal()
    notice_pressed = Signal(str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setObjectName("mfgviz_panel")
        self._built_in = self._templates = list(prompts.BUILT_IN)
        self._recent: list[str] = []
        self._filling = False
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(8)
        for make in (self._make_identity, self._make_prompt, self._make_fields, self._make_options):
            column.addWidget(make())
        column.addLayout(self._make_buttons())
        column.addWidget(self._make_progress())
        column.addLayout(self._make_strip_head())
        self.strip = Strip()
        self.nothing = label(tr("No renders yet."), muted=True)
        self.nothing.setWordWrap(True)
        self.nothing.setAlignment(Qt.AlignTop)
        column.addWidget(self.nothing, 1)
        column.addWidget(self.strip, 1)
        self.strip.setVisible(False)
        self.show_subject("", tr("Open a document with a part to render."))

    # -- making it -----------------------------------------------------------------------------------------
    def _make_identity(self) -> Any:
        box, grid = grid_box()
        self.number, self.revision = QtWidgets.QLineEdit(), QtWidgets.QLineEdit()
        for edit, name, hint in (
            (self.number, "mfgviz_number", tr("Part number")),
            (self.revision, "mfgviz_revision", tr("Revision")),
        ):
            edit.setObjectName(name)
            edit.setPlaceholderText(hint)
            edit.setAccessibleName(hint)
            edit.setToolTip(hint)
            edit.editingFinished.connect(self._identity_edited)
        self.revision.setFixedWidth(64)
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.number, 1)
        row.addWidget(label(tr("Rev.")))
        row.addWidget(self.revision)
        grid.addWidget(label(tr("Part")), 0, 0)
        grid.addLayout(row, 0, 1)
        self.subject = label("", muted=True)
        self.state = label("", muted=True)
        self.state.setObjectName("mfgviz_state")
        self.subject.setObjectName("mfgviz_subject")
        self.subject.setWordWrap(True)
        below = QtWidgets.QHBoxLayout()
        below.addWidget(self.subject, 1)
        below.addWidget(self.state, 0, Qt.AlignTop)
        grid.addLayout(below, 1, 1)
        return box

    def _make_prompt(self) -> Any:
        box, grid = grid_box()
        self.prompt = QtWidgets.QPlainTextEdit()
        self.prompt.setObjectName("mfgviz_prompt")
        self.prompt.setTabChangesFocus(True)
        self.prompt.setPlaceholderText(tr("What the part looks like, in words"))
        self.prompt.setFixedHeight(self.prompt.fontMetrics().lineSpacing() * 3 + 14)
        self.prompt.textChanged.connect(self._edited)
        self.presets = QtWidgets.QToolButton()
        self.presets.setObjectName("mfgviz_presets")
        self.presets.setIcon(icon("presets"))
        self.presets.setToolTip(tr("Presets and recent prompts"))
        self.presets.setPopupMode(QtWidgets.QToolButton.InstantPopup)
        self.presets.setMenu(QtWidgets.QMenu(self.presets))
        self.presets.menu().aboutToShow.connect(self._fill_presets)
        self._chips = QtWidgets.QHBoxLayout()
        self._chips.setSpacing(4)
        grid.addWidget(label(tr("Prompt")), 0, 0, Qt.AlignTop)
        grid.addWidget(self.prompt, 0, 1)
        grid.addLayout(self._chips, 1, 1)
        self._fill_chips(["material", "appearance"])
        return box

    def _make_fields(self) -> Any:
        box, grid = grid_box()
        self.material, self.appearance = (editable(words) for words in (MATERIALS, APPEARANCES))
        rows = (
            ("mfgviz_material", tr("Material"), self.material, "material"),
            ("mfgviz_appearance", tr("Looks"), self.appearance, "appearance"),
        )
        for row, (name, text, combo, key) in enumerate(rows):
            combo.setObjectName(name)
            combo.lineEdit().setPlaceholderText(tr("none"))
            combo.setToolTip(
                tr("Stands for {{{key}}} in the prompt. Taken from the object where it has one.", key=key)
            )
            combo.editTextChanged.connect(self._edited)
            grid.addWidget(label(text), row, 0)
            grid.addWidget(combo, row, 1)
        return box

    def _make_options(self) -> Any:
        box, grid = grid_box()
        self.view, self.side, self.model = QtWidgets.QComboBox(), QtWidgets.QComboBox(), QtWidgets.QComboBox()
        self.negative, self.count = QtWidgets.QLineEdit(), QtWidgets.QSpinBox()
        self.seed, self.strength = SeedBox(), Strength()
        self.view.setObjectName("mfgviz_view")
        self.view.setToolTip(tr("The camera of Render part. Render view takes the 3D view's."))
        self.side.setObjectName("mfgviz_size")
        self.model.setObjectName("mfgviz_model")
        self.count.setRange(1, 64)
        self.count.setObjectName("mfgviz_count")
        self.count.setFixedWidth(self.count.sizeHint().width() + 6)
        self.negative.setPlaceholderText(tr("nothing in particular"))
        self.negative.setObjectName("mfgviz_negative")
        self.strength.setToolTip(tr("How strictly the picture follows the part's edges and surfaces"))
        for combo in (self.view, self.side, self.model):
            let_shrink(combo)
            combo.currentIndexChanged.connect(self._edited)
        self.show_views([])
        self.show_models([])
        for one in (self.seed, self.strength):
            one.changed.connect(self._edited)
        self.count.valueChanged.connect(self._edited)
        self.negative.textChanged.connect(self._edited)
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.view, 1)
        row.addWidget(self.side)
        grid.addWidget(label(tr("View")), 0, 0)
        grid.addLayout(row, 0, 1)
        self.more = QtWidgets.QToolButton()
        self.more.setObjectName("mfgviz_more")
        self.more.setText(tr("More settings"))
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self.more.setArrowType(Qt.RightArrow)
        self.more.setStyleSheet("QToolButton { border: none; padding: 2px 0; }")
        grid.addWidget(self.more, 1, 1)
        self._options, inner = grid_box()
        for at, (text, widget) in enumerate(
            (
                (tr("Avoid"), self.negative),
                (tr("Model"), self.model),
                (tr("Pictures"), self.count),
                (tr("Seed"), self.seed),
                (tr("Geometry"), self.strength),
            )
        ):
            inner.addWidget(label(text), at, 0)
            inner.addWidget(widget, at, 1, Qt.AlignLeft if widget is self.count else Qt.Alignment())
        grid.addWidget(self._options, 2, 0, 1, 2)
        self._options.setVisible(False)
        self.more.toggled.connect(self._show_more)
        return box

    def _make_buttons(self) -> Any:
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(6)
        self.render_part = QtWidgets.QPushButton(icon("render_part"), tr("Render part"))
        self.render_view = QtWidgets.QPushButton(icon("render_view"), tr("Render view"))
        self.cancel = QtWidgets.QPushButton(tr("Cancel"))
        for button, name, wanted, tip in (
            (
                self.render_part,
                "mfgviz_render_part",
                self.part_wanted,
                tr("Render this part from the chosen view"),
            ),
            (
                self.render_view,
                "mfgviz_render_view",
                self.view_wanted,
                tr("Render it as the 3D view shows it"),
            ),
            (self.cancel, "mfgviz_cancel", self.cancel_wanted, tr("Cancel what is being sent or rendered")),
        ):
            button.setObjectName(name)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, wanted=wanted: wanted.emit())
            row.addWidget(button, 0 if button is self.cancel else 1)
        self.cancel.setEnabled(False)
        return row

    def _make_progress(self) -> Any:
        box = QtWidgets.QWidget()
        box.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Maximum)
        column = QtWidgets.QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        self.notice = Notice()
        self.notice.pressed.connect(self.notice_pressed.emit)
        self.told = label("")
        self.told.setObjectName("mfgviz_told")
        self.told.setWordWrap(True)
        self.told.setVisible(False)
        self.bar = QtWidgets.QProgressBar()
        self.bar.setObjectName("mfgviz_progress")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setVisible(False)
        self.preview = PreviewLabel()
        for widget in (self.notice, self.told, self.bar, self.preview):
            column.addWidget(widget)
        return box

    def _make_strip_head(self) -> Any:
        row = QtWidgets.QHBoxLayout()
        self.renders_title = label(tr("Renders"))
        font = self.renders_title.font()
        font.setBold(True)
        self.renders_title.setFont(font)
        self.refresh = QtWidgets.QToolButton()
        self.refresh.setIcon(icon("refresh"))
        self.refresh.setAutoRaise(True)
        self.refresh.setToolTip(tr("Ask the server again"))
        self.refresh.clicked.connect(self.refresh_wanted.emit)
        row.addWidget(self.renders_title)
        row.addStretch(1)
        row.addWidget(self.refresh)
        return row

    # -- what is asked for ---------------------------------------------------------------------------------
    @property
    def identity(self) -> Identity:
        """The part number and the revision as they stand in the dock."""
        return Identity(self.number.text().strip(), self.revision.text().strip())

    @property
    def wishes(self) -> Wishes:
        """All else that stands in the dock."""
        return Wishes(
            prompt=self.prompt.toPlainText().strip(),
            negative_prompt=self.negative.text().strip(),
            fields={
                "material": self.material.currentText().strip(),
                "appearance": self.appearance.currentText().strip(),
            },
            model=str(self.model.currentData() or ""),
            view=str(self.view.currentData() or "iso"),
            side_px=int(self.side.currentData() or 512),
            count=int(self.count.value()),
            seed=self.seed.seed,
            control_scale=self.strength.value,
        )

    def show_wishes(self, wishes: Wishes, *, with_fields: bool = False) -> None:
        """Put them into the dock."""
        self._filling = True
        if self.prompt.toPlainText() != wishes.prompt:
            self.prompt.setPlainText(wishes.prompt)
        self.negative.setText(wishes.negative_prompt)
        choose(self.model, wishes.model)
        choose(self.view, wishes.view)
        choose(self.side, min(SIDES_PX, key=lambda side: abs(side - wishes.side_px)))
        self.count.setValue(wishes.count)
        self.seed.set_seed(wishes.seed)
        self.strength.set_value(wishes.control_scale)
        if with_fields:
            self.show_fields(dict(wishes.fields))
        self._filling = False
        self._edited()

    def show_fields(self, fields: dict[str, str]) -> None:
        """What the object says of itself."""
        self._filling = True
        self.material.setEditText(fields.get("material", ""))
        self.appearance.setEditText(fields.get("appearance", ""))
        self._filling = False

    # -- what is shown -------------------------------------------------------------------------------------
    def show_subject(
        self, title: str, hint: str = "", *, identity: Identity | None = None, is_other: bool = True
    ) -> None:
        """The object that would be rendered, or why there is none. For the same one, what is typed stays."""
        self.subject.setText(title or hint)
        is_typed = self.number.isModified() or self.revision.isModified()
        if identity is not None and (is_other or not is_typed):
            self.number.setText(identity.number)
            self.revision.setText(identity.revision)

    def identity_taken(self) -> None:
        """What was typed is remembered."""
        self.number.setModified(False)
        self.revision.setModified(False)

    def show_revision(self, revision: dict[str, Any] | None, known: bool = True) -> None:
        """Its state on the server."""
        if not known:
            self.state.setText("")
        elif revision is None:
            self.state.setText(tr("new"))
            self.state.setToolTip(tr("The server makes the revision with the first render."))
        else:
            self.state.setText(state_word(str(revision.get("state") or "")))
            geometry = revision.get("geometry") or {}
            trouble = (geometry.get("error") or {}).get("message") or ""
            self.state.setToolTip(str(trouble))

    def show_views(self, views: list[dict[str, Any]]) -> None:
        """The server's named views, or the standard ones."""
        titles = {
            "iso": tr("Isometric"), "front": tr("Front"), "back": tr("Rear"), "left": tr("Left"),
            "right": tr("Right"), "top": tr("Top"), "bottom": tr("Bottom"),
        }  # fmt: skip
        names = [str(one["name"]) for one in views if one.get("name")] or list(titles)
        given = {str(one.get("name")): str(one.get("title") or "") for one in views}
        refill(self.view, [(titles.get(name) or given.get(name) or name, name) for name in names])

    def show_models(self, models: list[dict[str, Any]]) -> None:
        """The server's models; its own choice comes first. Sizes that none can make are left out."""
        standard = next((str(one["name"]) for one in models if one.get("is_default")), "")
        first = tr("Standard ({name})", name=standard) if standard else tr("Standard")
        refill(self.model, [(first, ""), *((str(one["name"]), str(one["name"])) for one in models)])
        most = max((int((one.get("capabilities") or {}).get("max_pixels") or 0) for one in models), default=0)
        sides = [side for side in SIDES_PX if not most or side * side <= most]
        refill(self.side, [(f"{side} px", side) for side in sides or SIDES_PX[:1]], 512)

    def show_presets(self, templates: list[dict[str, Any]], recent: list[str]) -> None:
        """The server's templates (the built-in ones where it has none), and recent prompts."""
        found = [
            prompts.Preset(
                str(one.get("title") or one["name"]),
                str(one["prompt"]),
                str(one.get("negative_prompt") or ""),
            )
            for one in templates
            if one.get("prompt") and one.get("name")
        ]
        self._templates, self._recent = found or self._built_in, recent

    def show_progress(self, text: str, done: int = 0, of: int = 0, *, busy: bool = True) -> None:
        """A sentence, and the bar: `of` 0 means that nobody knows how long; not `busy` hides the bar."""
        self.told.setText(text)
        self.told.setVisible(bool(text))
        self.bar.setVisible(busy)
        if busy:
            # A bar whose value moves paints at once, and with it all of the window that waits to be painted,
            # FreeCAD's view as well. Without updates meanwhile it is painted when the window's turn comes.
            self.bar.setUpdatesEnabled(False)
            self.bar.setRange(0, of)
            self.bar.setValue(done)
            self.bar.setUpdatesEnabled(True)

    def show_renders(self, found: list[dict[str, Any]]) -> None:
        """The strip."""
        self.strip.show_renders(found)
        self.strip.setVisible(bool(found))
        self.nothing.setVisible(not found)
        self.renders_title.setText(tr("Renders ({count})", count=len(found)) if found else tr("Renders"))

    # -- inside --------------------------------------------------------------------------------------------
    def _show_more(self, on: bool) -> None:
        self._options.setVisible(on)
        self.more.setArrowType(Qt.DownArrow if on else Qt.RightArrow)
        self._edited()

    def _edited(self, *_: Any) -> None:
        if not self._filling:
            self.wishes_edited.emit()

    def _identity_edited(self) -> None:
        self.identity_edited.emit(self.identity)

    def _fill_presets(self) -> None:
        menu = self.presets.menu()
        menu.clear()
        for preset in self._templates:
            action = menu.addAction(tr(preset.title))
            action.setToolTip(preset.prompt)
            action.triggered.connect(lambda _=False, preset=preset: self._take_preset(preset))
        if self._recent:
            menu.addSection(tr("Recent"))
            for prompt in self._recent:
                short = prompt if len(prompt) <= 60 else f"{prompt[:58]} …"
                action = menu.addAction(short.replace("&", "&&"))
                action.triggered.connect(lambda _=False, prompt=prompt: self.prompt.setPlainText(prompt))

    def _take_preset(self, preset: prompts.Preset) -> None:
        self.prompt.setPlainText(preset.prompt)
        self.negative.setText(preset.negative_prompt)

    def _fill_chips(self, names: list[str]) -> None:
        for name in names:
            chip = QtWidgets.QToolButton()
            chip.setText(f"{{{name}}}")
            chip.setToolTip(tr("Insert this field into the prompt"))
            chip.clicked.connect(lambda _=False, name=name: self._insert_field(name))
            self._chips.addWidget(chip)
        self._chips.addStretch(1)
        self._chips.addWidget(self.presets)

    def _insert_field(self, name: str) -> None:
        self.prompt.insertPlainText(f"{{{name}}}")
        self.prompt.setFocus()


class Dock(QtWidgets.QDockWidget):  # type: ignore[misc]
    """The panel in a dock that scrolls where the window is low."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(tr("mfgviz renders"), parent)
        self.setObjectName("mfgviz_dock")
        self.panel = Panel()
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QtWidgets.QFrame.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        area.setWidget(self.panel)
        self.setWidget(area)
        # Nothing is cut off, whatever the font and the language.
        scrollbar = self.style().pixelMetric(QtWidgets.QStyle.PM_ScrollBarExtent)
        area.setMinimumWidth(self.panel.minimumSizeHint().width() + scrollbar)

    def sizeHint(self) -> Any:  # noqa: N802 - Qt's name
        """Not wider than it needs."""
        return QtCore.QSize(WIDTH_PX, 760)
