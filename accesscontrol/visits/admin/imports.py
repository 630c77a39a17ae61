"""Import: upload a file, say what its columns are, look at what each row would do, apply it and follow that."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from accesscontrol.people import sheets
from accesscontrol.visits.admin.import_forms import ColumnsForm, UploadForm
from accesscontrol.visits.importing import columns, files
from accesscontrol.visits.models import Batch, Import, ImportRow
from accounts import audit, naming
from accounts.admin.exporting import csv_text, workbook
from accounts.admin.moments import read_at
from accounts.admin.records import TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.audit import Actor
from accounts.rights import Right
from accounts.tenancy import tenant_transaction
from pins.signin.staff.stepping_up import ask

STATES = {
    "Columns to be named": "info",
    "Being checked": "warning",
    "Checked": "info",
    "Being applied": "warning",
    "Applied": "success",
}
_WORDS = dict(zip(Import.State, STATES, strict=True))
_TONES = {"new": "success", "changed": "info", "unchanged": "", "refused": "danger"}
_FATES = [fate for fate in ImportRow.Fate if fate != ImportRow.Fate.PENDING]
_PAGE = 50
_PORTION = 1000
_TEMPLATE = [column.label for column in columns.COLUMNS if column.name != "name"]


@admin.register(Import)
class ImportAdmin(TenantAdmin):
    """Files of people, groups and cards."""

    form = UploadForm
    rights = {"view": Right.PEOPLE_WRITE, "add": Right.PEOPLE_WRITE}
    # It finds and changes people wherever they are.
    of_whole_tenant = True
    list_display = ("name", "rows_of", "uploaded", "uploaded_by", "state_of")
    ordering = ("-id",)
    readonly_fields = ("uploaded", "uploaded_by")
    empty_words = "Upload a list of people as CSV or Excel workbook. You see what each row would do before it is done."
    change_form_outer_before_template = "admin/import_story.html"
    add_form_template = "admin/import_upload.html"
    steps = (
        Step(
            "columns",
            "Name the columns",
            Right.PEOPLE_WRITE,
            "name_columns",
            "What is each column? An empty cell leaves what is there. Nothing is written by this step.",
            form=ColumnsForm,
            icon="view_column",
            template="admin/import_columns.html",
            is_possible=lambda source, _now: source.state in ("uploaded", "checking", "checked"),
        ),
        Step(
            "apply",
            "Apply",
            Right.PEOPLE_WRITE,
            "apply",
            "What the check announced is done now, row by row. Whoever was changed by somebody else since then is left "
            "as they are, and named. The content of the file is erased afterwards.",
            icon="play_arrow",
            has_button=False,
            is_possible=lambda source, _now: source.state == Import.State.CHECKED,
        ),
        Step(
            "discard",
            "Discard",
            Right.PEOPLE_WRITE,
            "discard",
            "The file is erased. Nothing was written, and nothing will be.",
            icon="delete",
            is_possible=lambda source, _now: source.state in ("uploaded", "checking", "checked"),
        ),
    )

    class Media:
        js = ("admin_site/progress.js",)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view
        return [
            path("template.csv", page(self.template_csv), name="visits_import_template_csv"),
            path("template.xlsx", page(self.template_xlsx), name="visits_import_template_xlsx"),
            path("<int:import_id>/progress/", page(self.progress), name="visits_import_progress"),
            path("<int:import_id>/rows.csv", page(self.rows_csv), name="visits_import_rows"),
            *super().get_urls(),
        ]

    def get_fields(self, request: HttpRequest, obj: Import | None = None) -> Any:
        return ("file",) if obj is None else ("uploaded", "uploaded_by")

    def save(self, request: HttpRequest, obj: Import, form: Any, *, change: bool, now: datetime) -> Import:
        uploaded = form.cleaned_data["file"]
        if uploaded.size > files.LIMITS.most_bytes:
            raise sheets.FileTooLarge("This file is too large: 20 MB at most.")
        uploaded.seek(0)
        return files.upload(uploaded.name, uploaded.read(), by=staff(request).actor, now=now)

    def response_add(self, request: HttpRequest, obj: Import, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:visits_import_columns", args=[obj.pk]))

    def name_columns(self, request: HttpRequest, obj: Import, values: dict[str, Any], now: datetime) -> HttpResponse:
        files.check(obj, values["plan"], by=staff(request).actor, now=now)
        return HttpResponseRedirect(reverse("admin:visits_import_change", args=[obj.pk]))

    def apply(self, request: HttpRequest, obj: Import, values: dict[str, Any], now: datetime) -> str:
        files.start(obj, by=staff(request).actor, now=now)
        return "Started."

    def discard(self, request: HttpRequest, obj: Import, values: dict[str, Any], now: datetime) -> str:
        files.discard(obj, by=staff(request).actor, now=now)
        return "The file was erased."

    def story(self, request: HttpRequest, obj: Import, now: datetime) -> dict[str, Any]:
        found = ImportRow.objects.filter(source=obj).values_list("fate").order_by("fate").annotate(number=Count("pk"))
        counts = dict(found)
        batch = Batch.objects.filter(source=obj).first()
        checked = sum(counts.values()) - counts.get(ImportRow.Fate.PENDING, 0)
        context = {
            "source": obj,
            "import_state": _WORDS[Import.State(obj.state)],
            "import_tone": STATES[_WORDS[Import.State(obj.state)]],
            "is_checking": obj.state == Import.State.CHECKING,
            "checked": checked,
            "counts": [(fate.value, fate.label, counts.get(fate, 0), _TONES[fate]) for fate in _FATES],
            "to_apply": counts.get(ImportRow.Fate.NEW, 0) + counts.get(ImportRow.Fate.CHANGED, 0),
            "is_told": obj.state not in (Import.State.UPLOADED, Import.State.CHECKING),
            "kept_until": read_at(obj.created_at + files.KEEP),
            "batch": None,
        }
        if batch is not None:
            batches = self.admin_site._registry[Batch]
            context |= batches.story(request, batch, now)
        return context | self._rows_page(request, obj) if context["is_told"] else context

    def _rows_page(self, request: HttpRequest, obj: Import) -> dict[str, Any]:
        fate = request.GET.get("fate", "")
        rows = ImportRow.objects.filter(source=obj).select_related("person", "other").order_by("line")
        rows = rows.filter(fate=fate) if fate in _TONES else rows
        asked = request.GET.get("page", "1")
        number = min(int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 1, 100_000) or 1
        shown = list(rows[(number - 1) * _PAGE : number * _PAGE + 1])
        cells = files.rows_of(obj, [row.line for row in shown])
        return {
            "rows": [
                {
                    "row": row,
                    "tone": _TONES.get(row.fate, ""),
                    "who": row.person.listed_name if row.person else _first(cells.get(row.line, [])),
                    "fields": ", ".join(columns.LABELS.get(name, name) for name in row.changed),
                    "field": columns.LABELS.get(row.field, ""),
                }
                for row in shown[:_PAGE]
            ],
            "fate": fate if fate in _TONES else "",
            "page_number": number,
            "has_next": len(shown) > _PAGE,
        }

    def progress(self, request: HttpRequest, import_id: int) -> HttpResponse:
        """The part of the page that changes while the file is checked."""
        source = self._of(request, import_id)
        return TemplateResponse(request, "admin/import_progress.html", self.story(request, source, timezone.now()))

    def rows_csv(self, request: HttpRequest, import_id: int) -> HttpResponseBase:
        """What each row would do or did, with its cells as long as they are kept: to be corrected and sent again."""
        source, tenant_id = self._of(request, import_id), staff(request).tenant_id
        story = reverse("admin:visits_import_change", args=[source.pk])
        if source.has_content and (asking := ask(request, back_to=story)) is not None:
            return asking
        fate = request.GET.get("fate", "")
        rows = ImportRow.objects.filter(source=source)
        rows = rows.filter(fate=fate) if fate in _TONES else rows
        headings = files.head(source, 1)[0][1] if source.has_content and (source.plan or {}).get("has_headings") else []
        if source.has_content:
            audit.record("export", "import", source.pk, by=staff(request).actor, now=timezone.now())
        lines = list(rows.order_by("line").values_list("line", flat=True))

        def portions() -> Iterator[list[list[Any]]]:
            for start in range(0, len(lines), _PORTION):
                portion = lines[start : start + _PORTION]
                with tenant_transaction(tenant_id):
                    cells = files.rows_of(source, portion)
                    told = ImportRow.objects.filter(source=source, line__in=portion).order_by("line")
                    values = [_told(row, cells.get(row.line, [])) for row in told]
                yield values

        response = StreamingHttpResponse(
            csv_text(["Row", "Fate", "Field", "Reason", "Changed", *headings], portions()),
            content_type="text/csv; charset=utf-8",
        )
        response["Content-Disposition"] = f'attachment; filename="import-{source.pk}-rows.csv"'
        return response

    def _of(self, request: HttpRequest, import_id: int) -> Import:
        if not self.has_view_permission(request):
            raise PermissionDenied
        source: Import | None = self.get_object(request, str(import_id))
        if source is None:
            raise Http404
        return source

    def template_csv(self, request: HttpRequest) -> HttpResponse:
        """An empty list with the headings that are understood."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        text = io.StringIO()
        csv.writer(text).writerow(_TEMPLATE)
        return _attached("\ufeff" + text.getvalue(), "text/csv; charset=utf-8", "people.csv")

    def template_xlsx(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        with workbook(_TEMPLATE, iter(()), name="People", keeps_zeros=True) as file:
            kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            return _attached(file.read(), kind, "people.xlsx")

    @display(description="Rows")
    def rows_of(self, source: Import) -> str:
        return f"{source.total:,}"

    @display(description="Uploaded")
    def uploaded(self, source: Import) -> str:
        return read_at(source.created_at)

    @display(description="By")
    def uploaded_by(self, source: Import) -> str:
        return naming.name_of(str(Actor(source.actor_kind, source.actor_id)))

    @display(description="State", label=STATES)
    def state_of(self, source: Import) -> str:
        return _WORDS[Import.State(source.state)]


def _first(cells: list[str]) -> str:
    """Whom a row is about, as it says itself."""
    return " ".join(cell for cell in cells[:3] if cell)[:80]


def _told(row: ImportRow, cells: list[str]) -> list[Any]:
    changed = ", ".join(columns.LABELS.get(name, name) for name in row.changed)
    return [row.line, row.get_fate_display(), columns.LABELS.get(row.field, ""), row.reason, changed, *cells]


def _attached(content: str | bytes, kind: str, name: str) -> HttpResponse:
    return HttpResponse(content, kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
