"""What a column of a file may be, and which headings mean it, in English, German and Spanish. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from accesscontrol.people.sheets import Row


@dataclass(frozen=True)
class Column:
    """`name` is that of the person's field, or one of: name, groups, card. `others` are headings that mean it, too."""

    name: str
    label: str
    others: str


COLUMNS: tuple[Column, ...] = (
    Column("first_name", "First name", "given name, forename, vorname, rufname, nombre, nombres, nombre de pila"),
    Column("last_name", "Last name", "surname, family name, nachname, familienname, zuname, apellido, apellidos"),
    Column("name", "Full name", "name, person, employee, mitarbeiter, mitarbeiterin, nombre completo, empleado"),
    Column("email", "E-mail address", "e-mail, email, mail, mailadresse, emailadresse, correo, correo electronico"),
    Column(
        "mobile",
        "Mobile number",
        "mobile, mobile phone, cell, cell phone, handy, handynummer, mobil, mobiltelefon, mobilnummer, "
        "movil, telefono movil, celular",
    ),
    Column(
        "telephone",
        "Telephone",
        "phone, phone number, telephone number, landline, telefon, tel, festnetz, telefono",
    ),
    Column(
        "system_id",
        "Id in another system",
        "id, system id, employee id, employee number, staff number, personnel number, personalnummer, "
        "personalnr, pers nr, mitarbeiternummer, numero de empleado, legajo, external id",
    ),
    Column("groups", "Groups", "group, gruppe, gruppen, team, grupo, grupos, equipo"),
    Column(
        "card",
        "Card number",
        "card, card no, badge, badge number, karte, kartennummer, kartennr, ausweis, ausweisnummer, "
        "transponder, tarjeta, numero de tarjeta",
    ),
    Column("department", "Department", "dept, abteilung, bereich, departamento, area"),
    Column(
        "job_title",
        "Job title",
        "title, position, function, role, funktion, stelle, berufsbezeichnung, cargo, puesto",
    ),
    Column("salutation", "Salutation", "anrede, titel, tratamiento, prefix"),
    Column("site", "Site", "location, building, standort, gebaude, gebaeude, sede, ubicacion, edificio"),
    Column("kind", "Kind", "type, person type, art, typ, tipo"),
    Column("enabled", "Enabled", "active, aktiv, aktiviert, freigegeben, activo, habilitado"),
    Column(
        "valid_from",
        "Valid from",
        "start, start date, from, gultig ab, gueltig ab, gultig von, eintritt, eintrittsdatum, beginn, "
        "valido desde, desde, fecha de inicio",
    ),
    Column(
        "valid_to",
        "Valid until",
        "valid to, end, end date, until, expires, expiry, gultig bis, gueltig bis, austritt, "
        "austrittsdatum, ende, valido hasta, hasta, fecha de fin",
    ),
    Column("birthday", "Birthday", "date of birth, birth date, dob, geburtsdatum, geburtstag, fecha de nacimiento"),
    Column("language", "Language", "sprache, idioma, lengua"),
    Column(
        "notes",
        "Notes",
        "note, comment, comments, remark, remarks, notiz, notizen, bemerkung, bemerkungen, kommentar, "
        "notas, nota, comentario, comentarios, observaciones",
    ),
)
NAMES = tuple(column.name for column in COLUMNS)
LABELS = {column.name: column.label for column in COLUMNS}
# What nobody may bring along: a PIN that stood in a file is known to whoever saw the file.
_PINS = {"pin", "pins", "pin code", "pincode", "pin number", "geheimzahl", "codigo pin"}


def folded(heading: str) -> str:
    """A heading without case, accents, signs and doubled spaces."""
    plain = unicodedata.normalize("NFKD", heading.casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return " ".join(re.findall(r"[^\W_]+", letters))


_MEANT = {
    folded(heading): column.name
    for column in COLUMNS
    for heading in (column.label, column.name, *column.others.split(","))
}


def guess(headings: Sequence[str]) -> list[str]:
    """What each column is by its heading; empty where none is known, or where an earlier one is the same."""
    found: list[str] = []
    for heading in headings:
        name = _MEANT.get(folded(heading), "")
        found.append("" if name in found else name)
    return found


def have_headings(rows: Sequence[Row]) -> bool:
    """Whether the first row names columns rather than somebody: a heading is known, and no address stands there."""
    if not rows:
        return False
    cells = rows[0][1]
    return any(guess(cells)) and not any("@" in cell for cell in cells)


def holds_pins(heading: str) -> bool:
    return folded(heading) in _PINS
