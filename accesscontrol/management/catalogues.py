"""The catalogues of translations, kept with Python alone: what is to be translated, and what is not yet.

What is marked in code and templates is collected, and the sentences of refusals, which stay English for machines
and are translated where people read them. Compiled catalogues are committed: nothing is built where this runs.
"""

import ast
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

PACKAGES: Final = ("accounts", "pins", "accesscontrol")
_KEYWORDS: Final = DEFAULT_KEYWORDS | {
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
Message = tuple[str | tuple[str, ...], str | None]


def languages() -> list[str]:
    """The languages that need a catalogue."""
    return [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]


def path_of(language: str, ending: str) -> Path:
    """Where the catalogue of a language lies, as `po` or `mo`."""
    folder: Path = settings.LOCALE_PATHS[0]
    return folder / to_locale(language) / "LC_MESSAGES" / f"django.{ending}"


def collected() -> Catalog:
    """All that is to be translated, with the files that say it."""
    catalogue = _empty()
    for path in _sources():
        place = str(path.relative_to(settings.BASE_DIR))
        for message, context in _messages(path):
            catalogue.add(message, locations=[(place, 0)], context=context)
    return catalogue


def _empty(locale: str | None = None) -> Catalog:
    nobody = {"msgid_bugs_address": "none", "last_translator": "none", "language_team": "none"}
    return Catalog(locale, header_comment="# Gatehouse", project="Gatehouse", version="1", fuzzy=False, **nobody)


def _sources() -> Iterator[Path]:
    templates = settings.BASE_DIR / "templates"
    yield from sorted(path for path in templates.rglob("*") if path.suffix in {".html", ".txt"})
    for package in PACKAGES:
        yield from sorted(
            path for path in (settings.BASE_DIR / package).rglob("*.py") if "migrations" not in path.parts
        )


def _messages(path: Path) -> Iterator[Message]:
    text = path.read_text(encoding="utf-8")
    code = text if path.suffix == ".py" else _code_of(text, path)
    for _, message, _, context in extract("python", BytesIO(code.encode()), keywords=_KEYWORDS):
        yield message, context
    if path.suffix == ".py":
        yield from _refusals(ast.parse(text))


def _code_of(template: str, path: Path) -> str:
    """The template's tags as calls; how it was indented means nothing to Python."""
    return "\n".join(line.strip() for line in templatize(template, origin=str(path)).splitlines())


def _refusals(module: ast.Module) -> Iterator[Message]:
    """The sentence of each class that has a code and a text."""
    for found in ast.walk(module):
        if not isinstance(found, ast.ClassDef):
            continue
        values = {
            target.id: line.value.value
            for line in found.body
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
            for target in line.targets
            if isinstance(target, ast.Name)
        }
        sentence = values.get("text")
        if "code" in values and isinstance(sentence, str):
            yield sentence, None


def read(language: str) -> Catalog:
    """The catalogue of a language as it is committed; an empty one where there is none yet."""
    path = path_of(language, "po")
    if not path.exists():
        return _empty(to_locale(language))
    with path.open("rb") as file:
        return read_po(file, locale=to_locale(language))


def renewed(language: str) -> Catalog:
    """The same with what is to be translated now: nothing is guessed, and nothing kept that nobody says any more."""
    catalogue = read(language)
    catalogue.update(collected(), no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    for message in catalogue:
        if message.pluralizable and not any(message.string or ()):
            message.string = ("",) * catalogue.num_plurals
    return catalogue


def write(language: str, catalogue: Catalog) -> None:
    """Write a catalogue, and compile it."""
    path_of(language, "po").parent.mkdir(parents=True, exist_ok=True)
    with path_of(language, "po").open("wb") as file:
        write_po(file, catalogue, width=120, sort_output=True, include_lineno=False, ignore_obsolete=True)
    path_of(language, "mo").write_bytes(compiled(catalogue))


def compiled(catalogue: Catalog) -> bytes:
    """What `gettext` reads at run time."""
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    """What has no translation, or not all of its plurals."""
    found = []
    for message in catalogue:
        strings = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        expected = catalogue.num_plurals if message.pluralizable else 1
        if message.id and (len(strings) != expected or not all(strings) or message.fuzzy):
            found.append(message.id if isinstance(message.id, str) else message.id[0])
    return found
