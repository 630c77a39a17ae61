"""A list as a file: what its filters leave, as CSV or as Excel workbook, asked for on a page of its own.

The member's PIN was asked before (`pins.signin.staff.stepping_up`). A CSV is sent while it is read, some hundred rows
a transaction, so that neither memory nor a transaction grows with the list. No cell is ever taken for a formula.
"""

import csv
import io
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from tempfile import TemporaryFile
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import EmptyResultSet, PermissionDenied
from django.db import connection
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils import get_column_letter
from unfold.widgets import UnfoldAdminSelectWidget

from accounts import audit
from accounts.admin.steps import Step
from accounts.admin_site import caller_of, staff, tenant_of
from accounts.refusals import Refusal
from accounts.rights import Right
from accounts.tenancy import tenant_transaction

MOST: Final = 2_000_000
MOST_IN_WORKBOOK: Final = 50_000
_PORTION = 1000
_MOST_FILTERS = 20
_ANSWERED = "text/csv; charset=utf-8", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# What a spreadsheet would take for a formula; a plain number, such as of a telephone, is none.
# It may begin where another country's spreadsheet splits the line again, and with a letter of double width.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?= *[=+\-@＝＋－＠\t\r])")
_NUMBER = re.compile(r"[+-]?\d[\d.,]*", re.ASCII)


class TooManyRows(Refusal):
    code = "too_many"
    text = "This list is too long for one file. Narrow it by its filters first."


@dataclass(frozen=True)
class Exported:
    """A column of the file: what stands in it for a row. Instants are shown in the tenant's zone, which it names."""

    heading: str
    read: Callable[[Any], Any]
    is_instant: bool = False
    is_utc: bool = False

    def title(self, zone: ZoneInfo) -> str:
        named = "UTC" if self.is_utc else zone.key
        return f"{self.heading} ({named})" if self.is_instant or self.is_utc else self.heading

    def value(self, row: Any, zone: ZoneInfo) -> Any:
        found = self.read(row)
        if isinstance(found, datetime):
            return timezone.localtime(found, ZoneInfo("UTC") if self.is_utc else zone).replace(
                tzinfo=None, microsecond=0
            )
        return found


@dataclass(frozen=True)
class Portion:
    """Some rows of a list: eight bytes each, since there may be two million, and within which instants they are."""

    ids: "array[int]"
    span: tuple[datetime, datetime] | None = None


class ExportForm(forms.Form):
    kind = forms.ChoiceField(
        label="As",
        choices=[("csv", "CSV"), ("xlsx", "Excel workbook (.xlsx)")],
        widget=UnfoldAdminSelectWidget,
        help_text=f"A workbook holds {MOST_IN_WORKBOOK:,} rows at most.",
    )


def may_export(page: Any, request: HttpRequest) -> bool:
    """Whether the caller may take this list away as a file."""
    caller = caller_of(request)
    return bool(page.exported and caller and caller.may(Right.EXPORT) and page.has_view_permission(request))


def answer(page: Any, request: HttpRequest) -> HttpResponseBase:
    """Ask on GET, send on POST; the filters of the list stand in the address."""
    if not may_export(page, request):
        raise PermissionDenied
    name = f"admin:{page.opts.app_label}_{page.opts.model_name}"
    back = f"{reverse(f'{name}_changelist')}?{request.GET.urlencode()}".rstrip("?")
    try:
        rows = page.get_changelist_instance(request).get_queryset(request)
    except IncorrectLookupParameters:
        return HttpResponseRedirect(reverse(f"{name}_changelist"))
    form = ExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return _sent(page, request, rows, form.cleaned_data["kind"])
        except Refusal as refusal:
            form.add_error(None, refusal.sentence)
    zone = tenant_of(request).zone
    count = page.paginator(rows, 1).count
    ask = (
        f"{_counted(page, count)} of the list as it is filtered now. Times are those of {zone.key}. "
        "PINs and card numbers are never among them. It is recorded that you exported this list."
    )
    context = {
        **page.admin_site.each_context(request),
        "title": "Export",
        "content_title": f"Export {page.opts.verbose_name_plural}",
        "opts": page.opts,
        "step": Step("export", "Export", Right.EXPORT, "export", ask),
        "ask": ask,
        "form": form,
        "media": page.media + form.media,
        "back": back,
    }
    return TemplateResponse(request, "admin/step.html", context)


def _counted(page: Any, count: int) -> str:
    if count >= page.paginator.most:
        return f"{page.paginator.most:,} rows or more"
    return "One row" if count == 1 else f"{count:,} rows"


def _sent(page: Any, request: HttpRequest, rows: Any, kind: str) -> HttpResponseBase:
    now, caller, zone = timezone.now(), staff(request), tenant_of(request).zone
    portions = _portions(rows, page.exported_within)
    count = sum(len(portion.ids) for portion in portions)
    most = MOST if kind == "csv" else MOST_IN_WORKBOOK
    if count > most:
        raise TooManyRows(f"A {'CSV' if kind == 'csv' else 'workbook'} holds {most:,} rows at most: narrow the list.")
    filters = [f"{name[:40]}" for name in sorted(request.GET) if name not in ("p", "o", "all")]
    facts = [kind, f"{count} rows", *filters[:_MOST_FILTERS]]
    audit.record("export", page.opts.model_name, "list", by=caller.actor, now=now, fields=facts)
    name = f"{page.opts.model_name}-{timezone.localtime(now, zone):%Y-%m-%d-%H%M}.{kind}"
    columns: Sequence[Exported] = page.exported
    read = _reader(page, request, portions, columns, zone, caller.tenant_id)
    titles = [column.title(zone) for column in columns]
    if kind == "xlsx":
        return FileResponse(workbook(titles, read), as_attachment=True, filename=name, content_type=_ANSWERED[1])
    response = StreamingHttpResponse(csv_text(titles, read), content_type=_ANSWERED[0])
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _portions(rows: Any, within: str | None) -> list[Portion]:
    """The ids of all rows in their order; read through a cursor of the server, or the result would stand in memory."""
    try:
        sql, values = rows.values_list("pk", *([within] if within else []))[: MOST + 1].query.sql_with_params()
    except EmptyResultSet:
        return []
    found = []
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, values)
        while keys := cursor.fetchmany(_PORTION):
            instants = [key[1] for key in keys] if within else []
            span = (min(instants), max(instants)) if within else None
            found.append(Portion(array("q", (key[0] for key in keys)), span))
    return found


def _reader(
    page: Any,
    request: HttpRequest,
    portions: list[Portion],
    columns: Sequence[Exported],
    zone: ZoneInfo,
    tenant_id: int,
) -> Iterator[list[list[Any]]]:
    """The values, some hundred rows at a time, each portion in a transaction of its own."""
    for portion in portions:
        with tenant_transaction(tenant_id):
            found = {row.pk: row for row in page.exported_rows(request, portion)}
            # A row that went meanwhile is left out.
            rows = [found[number] for number in portion.ids if number in found]
            values = [[column.value(row, zone) for column in columns] for row in rows]
        yield values


def csv_text(titles: Sequence[str], portions: Iterator[list[list[Any]]]) -> Iterator[str]:
    """A CSV in UTF-8 that Excel recognises as such."""
    # The mark at the start tells Excel which encoding this is.
    yield "\ufeff" + _lines([list(titles)])
    for portion in portions:
        yield _lines(portion)


def _lines(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[harmless(_written(value)) for value in row] for row in rows])
    return text.getvalue()


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def harmless(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula: behind an apostrophe."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)


def workbook(
    titles: Sequence[str], portions: Iterator[list[list[Any]]], *, name: str = "Export", keeps_zeros: bool = False
) -> Any:
    """An Excel workbook as an open file; text stays text, with `keeps_zeros` also what is typed into it later."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(name)
    sheet.freeze_panes = "A2"
    for number in range(1, len(titles) + 1):
        column = sheet.column_dimensions[get_column_letter(number)]
        column.width = 20
        if keeps_zeros:
            column.number_format = "@"
    sheet.append([_cell(sheet, title) for title in titles])
    for portion in portions:
        for row in portion:
            sheet.append([_cell(sheet, value) for value in row])
    file = TemporaryFile()  # noqa: SIM115  # closed by the response that sends it
    book.save(file)
    file.seek(0)
    return file


def _cell(sheet: Any, value: Any) -> Any:
    if value is None or (isinstance(value, (datetime, date, int, float)) and not isinstance(value, bool)):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", _written(value)))
    cell.data_type = "s"
    return cell
