"""HTML from Python, escaped by construction: a text can never become markup."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None


def h(tag: str, *children: Child | Iterable[Child], **attributes: Any) -> Element:
    """Return an element; None is left out, and so are attributes that are None or False.

    Args:
        tag: its name.
        children: elements and texts, or iterables of them.
        attributes: `class_` is written class, `aria_label` aria-label; True is an attribute without a value.
    """
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    given = {name: "" if value is True else str(value) for name, value in named.items() if value not in (None, False)}
    element = Element(tag, given)
    for child in children:
        for each in [child] if child is None or isinstance(child, (str, Element)) else child:
            _append(element, each)
    return element


def data(value: Any) -> Element:
    """Return a script element that holds JSON and cannot be left by what is in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return h("script", text.replace("<", "\\u003c"), type="application/json")


def document(page: Element) -> str:
    """Return a whole HTML document."""
    return "<!DOCTYPE html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _append(element: Element, child: Child) -> None:
    if isinstance(child, str):
        if len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    elif child is not None:
        element.append(child)
