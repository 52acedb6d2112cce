"""What the detector said to the last action, shown where the action was."""

from __future__ import annotations

import re
from collections.abc import Callable

import streamlit as st

from sightline_frontend.backend import BackendError, RefusedError
from sightline_frontend.jargon import plainly

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|<>$~:-])")
_KEY = "said"


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return _MARKS.sub(r"\\\1", text)


def act(place: str, action: Callable[[], str]) -> bool:
    """Do something, and keep its sentence, or the detector's refusal, for `place`.

    Returns whether it was done.
    """
    try:
        st.session_state[_KEY] = (place, "done", action())
    except BackendError as error:
        st.session_state[_KEY] = (place, "refused", words(error))
        return False
    return True


def show_said(place: str) -> None:
    """Show the last action's outcome, if it was done here."""
    where, how, text = st.session_state.get(_KEY, ("", "", ""))
    if where != place:
        return
    if how == "done":
        st.success(text, icon=":material/check_circle:")
    else:
        st.error(text, icon=":material/error:")


def forget_said(place: str) -> None:
    """Show the last action's outcome no longer, if it was done here."""
    if st.session_state.get(_KEY, ("",))[0] == place:
        del st.session_state[_KEY]


def words(error: BackendError) -> str:
    """Return an error for people who look at a page, and send no headers themselves."""
    if isinstance(error, RefusedError) and "SIGHTLINE_ADMIN_TOKEN" in error.message:
        return (
            "The detector asks for a password before anything is changed. Start these pages with "
            "`SIGHTLINE_ADMIN_TOKEN` set to the same value as the detector's."
        )
    return plainly(error.message)


def viewers(live: bool) -> str:
    """Return what to add to a question whether a model is to go that shows live video."""
    return " Live video goes through it: take it back first." if live else ""
