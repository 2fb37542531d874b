"""What a browser would send: the fields of a page's form as they stand, with a person's changes."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client

Fields = dict[str, list[str]]


class Page(HTMLParser):
    """The fields of the form with the id that ends in `form_id`."""

    def __init__(self, html: str, form_id: str) -> None:
        super().__init__()
        self.fields: Fields = {}
        self._form_id = form_id
        self._inside = False
        self._select = ""
        self._textarea: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind = given.get("name") or "", given.get("type") or ""
        if tag == "form":
            self._inside = (given.get("id") or "").endswith(self._form_id)
        elif not self._inside:
            return
        elif tag == "select":
            self._select = name
        elif tag == "textarea":
            self._textarea = name
            self.fields[name] = [""]
        elif tag == "option" and "selected" in given:
            self._add(self._select, given.get("value") or "")
        elif tag == "input" and name and kind != "submit" and (kind not in {"checkbox", "radio"} or "checked" in given):
            self._add(name, given.get("value") or ("on" if kind == "checkbox" else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self.fields[self._textarea][0] += data.removeprefix("\n") if not self.fields[self._textarea][0] else data

    def _add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)


def opened(client: Client, url: str, form_id: str = "_form") -> Fields:
    """The fields of a page that somebody opens."""
    response = client.get(url)
    assert response.status_code == 200, response.status_code
    fields = Page(response.content.decode(), form_id).fields
    assert fields
    return fields


def saved(client: Client, url: str, fields: Fields, **changes: Any) -> str:
    """Send the fields with these changes (None takes one away); the page that follows, or the errors if there are."""
    texts = {
        name: value if isinstance(value, list) else [value] for name, value in changes.items() if value is not None
    }
    sent = {name: value for name, value in (fields | texts).items() if changes.get(name, "") is not None}
    response = client.post(url, sent | {"_save": ["Save"]}, follow=True)
    assert response.status_code == 200, response.status_code
    return response.content.decode()
