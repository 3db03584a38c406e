"""Dock, strip of renders, dialogs: Qt alone."""
