"""Settings as a mapping."""

import cno


def settings(push: bool) -> cno.SettingsDict:
    found: cno.SettingsDict = {"initial_window_size": 65_535}
    if push:
        found["enable_push"] = 1
    return found
