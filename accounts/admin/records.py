"""What every page of the admin rests on: rights from the Caller, rows of the caller's sites, refusals in words.

A page states in `rights` what viewing, adding and changing ask for; what is not named there is closed. Nothing is
deleted: what has a history is ended by a step. The admin's own log is not written, its text would cross tenants.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin, checkbox
from unfold.decorators import display

from accounts import audit
from accounts.admin import exporting
from accounts.admin.paging import BoundedPaginator
from accounts.admin.steps import Step
from accounts.admin_site import caller_of, staff
from accounts.refusals import Refusal
from accounts.rights import Right

# As Unfold writes it: its templates within templates for each row were a tenth of the time of a list.
_CHECKBOX = checkbox.render(ACTION_CHECKBOX_NAME, "{}")


class RecordForm(forms.ModelForm[Any]):
    """A form that knows who asks, and shows what was refused when the same data is presented again.

    A subclass names no model in its Meta: choices of other rows would be asked for before a tenant is known.
    """

    request: ClassVar[HttpRequest]
    # Whether constraints are checked by the form; a domain function refuses with the field that is meant.
    has_own_refusals: ClassVar[bool] = False
    # What the domain calls a field -> what it is called here.
    called: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "site" in self.fields and staff(self.request).site_ids is not None:
            # Members of some sites add rows to these, and leave what all sites share where it is.
            self.fields["site"].required = not self.instance.pk
            self.fields["site"].disabled = bool(self.instance.pk and self.instance.site_id is None)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        refusal: Refusal | None = getattr(self.request, "refusal", None)
        if refusal is not None:
            field = self._field_of(refusal)
            self.add_error(field, forms.ValidationError(refusal.sentence, code=refusal.code))
        return values

    def _get_validation_exclusions(self) -> set[str]:
        left_out: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        if self.has_own_refusals:
            left_out |= {field.name for field in self.instance._meta.fields}
        return left_out

    def _field_of(self, refusal: Refusal) -> str | None:
        name = self.called.get(refusal.about or "", refusal.about)
        return name if name in self.fields else None


class TenantAdmin(ModelAdmin):  # type: ignore[misc]
    """Pages for the rows of one tenant table."""

    form = RecordForm
    rights: ClassVar[dict[str, Right]] = {}
    # Of the tenant as a whole: closed to members who are limited to some sites.
    of_whole_tenant: ClassVar[bool] = False
    # The look-up that says at which site a row is; rows without a site are everybody's to see.
    site_lookup: ClassVar[str | None] = None
    steps: ClassVar[tuple[Step, ...]] = ()
    empty_words: ClassVar[str] = "There is nothing here yet."
    # Lists may be opened by links with these, such as the events of one person.
    opened_by: ClassVar[tuple[str, ...]] = ()
    # What stands in the list as a file; where the rows may be very many, the instant that its index goes along.
    exported: ClassVar[tuple[exporting.Exported, ...]] = ()
    exported_along: ClassVar[str | None] = None

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    actions: ClassVar[list[Any] | None] = None
    save_on_top = False
    list_filter_submit = False
    list_filter_sheet = True
    empty_value_display = "-"
    view_on_site = False
    # Asked of each row by Unfold's list; where they are missing, every name of the class is looked through instead.
    list_sections: ClassVar[tuple[Any, ...]] = ()
    ordering_field = None

    # Who may

    def _may(self, request: HttpRequest, what: str) -> bool:
        caller = caller_of(request)
        if caller is None or (self.of_whole_tenant and caller.site_ids is not None):
            return False
        return what in self.rights and caller.may(self.rights[what])

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change") and (obj is None or self.is_open(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def is_open(self, request: HttpRequest, obj: Any) -> bool:
        """Whether this row may be changed by who may change rows: what all sites share is not for some of them."""
        if self.site_lookup is None or staff(request).site_ids is None:
            return True
        return self._site_id(obj) is not None

    def _site_id(self, obj: Any) -> Any:
        for name in (self.site_lookup or "").split("__"):
            obj = getattr(obj, name, None)
        return obj

    # Which rows

    @property
    def is_of_sites(self) -> bool:
        """Whether somebody who is limited to a site sees fewer of these rows."""
        return self.site_lookup is not None or type(self).at_sites is not TenantAdmin.at_sites

    def visible(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows that the caller may know of."""
        rows: models.QuerySet[Any] = self.model._default_manager.all()
        site_ids = staff(request).site_ids
        return rows if site_ids is None else self.at_sites(rows, site_ids)

    def at_sites(self, rows: models.QuerySet[Any], site_ids: frozenset[int]) -> models.QuerySet[Any]:
        if self.site_lookup is None:
            return rows
        here = models.Q(**{f"{self.site_lookup}__in": site_ids})
        return rows.filter(here | models.Q(**{self.site_lookup: None}))

    def grantable(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The rows that the caller may give to others: what all sites share opens doors at other sites."""
        rows, site_ids = self.visible(request), staff(request).site_ids
        if site_ids is None or self.site_lookup is None:
            return rows
        return rows.filter(**{f"{self.site_lookup}__in": site_ids})

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = self.visible(request)
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def search(self, rows: models.QuerySet[Any], term: str) -> models.QuerySet[Any]:
        """Rows that a word in the search box finds, by columns that an index holds."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        term = search_term.strip()
        # Whatever its address says, a list without a box for words is not searched.
        return (self.search(queryset, term) if term and self.search_fields else queryset), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in self.opened_by or super().lookup_allowed(lookup, value, request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model in self.admin_site._registry:
            kwargs.setdefault("queryset", visible_rows(request, db_field.related_model))
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None:
            field.empty_label = "-" if db_field.blank else "Choose"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, forms.SplitDateTimeField):
            field.widget.widgets[1].format = "%H:%M"
        for name in ("can_add_related", "can_change_related", "can_delete_related", "can_view_related"):
            # Pop-up windows for related rows are more than these pages need.
            if field is not None and hasattr(field.widget, name):
                setattr(field.widget, name, False)
        return field

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        shown = super().get_changelist_instance(request)
        shown.result_list = list(shown.result_list)
        self.look_up(request, shown.result_list)
        return shown

    def look_up(self, request: HttpRequest, rows: list[Any]) -> None:
        """Put on the rows of one page what the list says of them beside their columns, in one question for all."""

    @display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Any) -> str:
        return format_html(_CHECKBOX, obj.pk)

    # As a file

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = extra_context or {}
        if exporting.may_export(self, request):
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_export"
            context = {**context, "export_url": f"{reverse(name)}?{request.GET.urlencode()}".rstrip("?")}
        answer: HttpResponse = super().changelist_view(request, context)
        return answer

    def exported_rows(self, request: HttpRequest, rows: models.QuerySet[Any]) -> Iterable[Any]:
        """These rows of the list with what their columns read."""
        return rows.select_related(*self.list_select_related) if self.list_select_related else rows

    # Saving

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"request": request})

    def save(self, request: HttpRequest, obj: Any, form: Any, *, change: bool, now: datetime) -> Any:
        """Plain editing: write the row and say so. What has a rule calls its domain function here instead."""
        obj.save()
        self.audit(request, obj, "change" if change else "create", form.changed_data, now)
        return obj

    def audit(self, request: HttpRequest, obj: Any, verb: str, fields: list[str], now: datetime) -> None:
        if verb != "change" or fields:
            audit.record(verb, self.opts.model_name or "", obj.pk, by=staff(request).actor, now=now, fields=fields)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        saved = self.save(request, obj, form, change=change, now=timezone.now())
        if saved is not obj:
            obj.__dict__.update(saved.__dict__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """`save` has written what belongs to the row: through tables keep periods that Django would overwrite."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"show_save_and_continue": False, "show_save_and_add_another": False, **(extra_context or {})}
        if object_id:
            context |= self._story(request, object_id)
        try:
            answer: HttpResponse = super().changeform_view(request, object_id, form_url, dict(context))
        except Refusal as refusal:
            # Nothing was written; the form is answered again with the refusal beside its field.
            request.refusal = refusal  # type: ignore[attr-defined]
            answer = super().changeform_view(request, object_id, form_url, dict(context))
        return answer

    def _story(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        now = timezone.now()
        links = [
            {"title": step.title, "icon": step.icon, "danger": step.danger, "link": self.step_url(obj, step)}
            for step in self.steps
            if step.has_button and self.may_take(request, step, obj, now)
        ]
        return {"steps": [*links, *self.links(request, obj)], "now": now, **self.story(request, obj, now)}

    def links(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Pages of other rooms that belong beside the steps of one row: title, icon, danger, link."""
        return []

    def story(self, request: HttpRequest, obj: Any, now: datetime) -> dict[str, Any]:
        """What else the page of one row tells."""
        return {}

    # Steps

    def may_take(self, request: HttpRequest, step: Step, obj: Any, now: datetime) -> bool:
        caller = staff(request)
        return caller.may(step.right) and (step.is_possible is None or step.is_possible(obj, now))

    def step_url(self, obj: Any, step: Step) -> str:
        return reverse(f"admin:{self._step_name(step)}", args=[obj.pk])

    def _step_name(self, step: Step) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{step.name}"

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = [
            path(
                f"<path:object_id>/{step.name}/",
                self.admin_site.admin_view(self._page_of(step)),
                name=self._step_name(step),
            )
            for step in self.steps
        ]
        if self.exported:
            page = self.admin_site.admin_view(partial(exporting.answer, self))
            name = f"{self.opts.app_label}_{self.opts.model_name}_export"
            urls.append(path("export/", page, name=name))
        return urls + super().get_urls()

    def _page_of(self, step: Step) -> Callable[..., HttpResponse]:
        def page(request: HttpRequest, object_id: str) -> HttpResponse:
            return self._take(request, object_id, step)

        return page

    def _take(self, request: HttpRequest, object_id: str, step: Step) -> HttpResponse:
        """Ask on GET, act on POST."""
        if not (self.has_view_permission(request) and staff(request).may(step.right)):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None or not self.may_take(request, step, obj, timezone.now()):
            raise Http404
        form = step.form(request.POST if request.method == "POST" else None, obj=obj, request=request)
        if request.method == "POST" and form.is_valid():
            try:
                answer: HttpResponse | str = getattr(self, step.method)(request, obj, form.cleaned_data, timezone.now())
            except Refusal as refusal:
                form.add_error(refusal.about if refusal.about in form.fields else None, refusal.sentence)
            else:
                if not isinstance(answer, str):
                    return answer
                messages.success(request, answer)
                return HttpResponseRedirect(self._after(request, obj))
        context = {
            **self.admin_site.each_context(request),
            "title": step.title,
            "content_title": step.title,
            "opts": self.opts,
            "object": obj,
            "step": step,
            "ask": step.ask.format(obj),
            "form": form,
            "media": self.media + form.media,
            "back": self._after(request, obj),
        }
        return TemplateResponse(request, step.template, context)

    def _after(self, request: HttpRequest, obj: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if self.get_object(request, str(obj.pk)) is None:
            return reverse(f"{name}_changelist")
        return reverse(f"{name}_change", args=[obj.pk])

    def shown_once(self, request: HttpRequest, **context: Any) -> HttpResponse:
        """A page for what is shown now and never kept: in no address, title, message or session."""
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, "admin/shown_once.html", context, headers={"Cache-Control": "no-store"})

    # The admin's own log

    def log_change(self, *args: Any) -> None:
        """Not written."""

    log_addition = log_deletions = log_change

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise Http404

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404


def grantable_rows(request: HttpRequest, model: type[models.Model]) -> models.QuerySet[Any]:
    """The rows of a table with pages that the caller may give to others."""
    page = admin.site._registry[model]
    assert isinstance(page, TenantAdmin)
    return page.grantable(request)


def visible_rows(request: HttpRequest, model: type[models.Model]) -> models.QuerySet[Any]:
    """The rows of a table with pages that the caller may know of."""
    page = admin.site._registry[model]
    assert isinstance(page, TenantAdmin)
    return page.visible(request)
