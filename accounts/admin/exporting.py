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
from datetime import UTC, date, datetime
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
            return found.astimezone(UTC if self.is_utc else zone).replace(tzinfo=None, microsecond=0)
        return found


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
    most = MOST if kind == "csv" else MOST_IN_WORKBOOK
    found: Iterator[list[Any]]
    if page.exported_along:
        rows = _until_now(rows, page.exported_along)
        count = rows.order_by()[: most + 1].count()
        found = _along(page, request, rows, caller.tenant_id)
    else:
        portions = _ids(rows)
        count = sum(map(len, portions))
        found = _by_id(page, request, portions, caller.tenant_id)
    if count > most:
        raise TooManyRows(f"A {'CSV' if kind == 'csv' else 'workbook'} holds {most:,} rows at most: narrow the list.")
    filters = [f"{name[:40]}" for name in sorted(request.GET) if name not in ("p", "o", "all")]
    facts = [kind, f"{count} rows", *filters[:_MOST_FILTERS]]
    audit.record("export", page.opts.model_name, "list", by=caller.actor, now=now, fields=facts)
    name = f"{page.opts.model_name}-{timezone.localtime(now, zone):%Y-%m-%d-%H%M}.{kind}"
    columns: Sequence[Exported] = page.exported
    read = ([[column.value(row, zone) for column in columns] for row in portion] for portion in found)
    titles = [column.title(zone) for column in columns]
    if kind == "xlsx":
        return FileResponse(workbook(titles, read), as_attachment=True, filename=name, content_type=_ANSWERED[1])
    response = StreamingHttpResponse(csv_text(titles, read), content_type=_ANSWERED[0])
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _until_now(rows: Any, column: str) -> Any:
    """The rows newest first, without what is added while they are read, such as the record of that."""
    rows = rows.order_by(f"-{column}", "-pk")
    if newest := rows.values_list(column, "pk").first():
        return rows.filter(**{f"{column}__lte": newest[0]}).exclude(**{column: newest[0], "pk__gt": newest[1]})
    return rows.none()


def _along(page: Any, request: HttpRequest, rows: Any, tenant_id: int) -> Iterator[list[Any]]:
    """The rows, each portion in a transaction of its own that goes on behind the last of the one before.

    Nothing is read or sorted beforehand: the file of a million rows begins as soon as one of ten.
    """
    column, left = page.exported_along, rows
    while True:
        with tenant_transaction(tenant_id):
            found = list(page.exported_rows(request, left[:_PORTION]))
        yield found
        if len(found) < _PORTION:
            return
        instant, number = getattr(found[-1], column), found[-1].pk
        # The first says where an index goes on, the second passes over what was at the same instant.
        left = rows.filter(**{f"{column}__lte": instant}).exclude(**{column: instant, "pk__gte": number})


def _ids(rows: Any) -> list["array[int]"]:
    """The ids of all rows in their order, eight bytes each, since there may be many.

    Read through a cursor of the server, or the result would stand in memory.
    """
    try:
        sql, values = rows.values_list("pk")[: MOST + 1].query.sql_with_params()
    except EmptyResultSet:
        return []
    found = []
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, values)
        while keys := cursor.fetchmany(_PORTION):
            found.append(array("q", (key for (key,) in keys)))
    return found


def _by_id(page: Any, request: HttpRequest, portions: list["array[int]"], tenant_id: int) -> Iterator[list[Any]]:
    """The rows in the order of these ids, each portion in a transaction of its own."""
    for ids in portions:
        with tenant_transaction(tenant_id):
            rows = page.get_queryset(request).filter(pk__in=list(ids))
            found = {row.pk: row for row in page.exported_rows(request, rows)}
        # A row that went meanwhile is left out.
        yield [found[number] for number in ids if number in found]


def csv_text(titles: Sequence[str], portions: Iterator[list[list[Any]]]) -> Iterator[str]:
    """A CSV in UTF-8 that Excel recognises as such."""
    # The mark at the start tells Excel which encoding this is.
    yield "\ufeff" + _lines([list(titles)])
    for portion in portions:
        yield _lines(portion)


def _lines(rows: list[list[Any]]) -> str:
    text, shown = io.StringIO(), _Shown()
    csv.writer(text).writerows(
        [shown[value] if isinstance(value, str) else _written(value) for value in row] for row in rows
    )
    return text.getvalue()


class _Shown(dict[str, str]):
    """Texts as they are written: the same door and the same person stand in many rows."""

    def __missing__(self, text: str) -> str:
        self[text] = harmless(text)
        return self[text]


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
