"""What the desk asks for a visit, and what of it is a known person, a host, an address."""

from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.validators import validate_email
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accesscontrol.desk.addresses import as_mobile, split_name
from accesscontrol.desk.choosing import DoorsField, PeriodForm
from accesscontrol.desk.entry import Desk
from accesscontrol.desk.hosts import HostField
from accesscontrol.people.api import visible
from accesscontrol.people.models import Person, one_line
from accesscontrol.visits.guests import LONGEST_NAME
from accounts.rights import Right


class AddressField(forms.CharField):
    """An e-mail address or a mobile number; cleaned to a pair of which one is empty."""

    def __init__(self, **options: Any) -> None:
        attrs = {"autocomplete": "off", "inputmode": "email", "spellcheck": "false"}
        super().__init__(max_length=254, widget=forms.TextInput(attrs=attrs), **options)


class VisitorForm(PeriodForm):
    """What one visitor and a recurring one have in common with a form of their own for the times."""

    called = {
        "start_time": "start",
        "end_time": "end",
        "channel_ids": "doors",
        "person_id": "name",
        "first_name": "name",
        "last_name": "name",
        "email": "address",
        "mobile": "address",
    }

    form_id = forms.CharField(widget=forms.HiddenInput, max_length=60)
    person_id = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=1, max_value=10**15)
    name = forms.CharField(
        label=_("Name"),
        max_length=240,
        validators=[one_line],
        error_messages={"required": _("Write the visitor's name.")},
        widget=forms.TextInput(
            attrs={
                "autofocus": True,
                "autocomplete": "off",
                "role": "combobox",
                "aria-autocomplete": "list",
                "aria-expanded": "false",
                "aria-controls": "found",
                "spellcheck": "false",
            }
        ),
    )
    address = AddressField(label=_("E-mail or mobile number"), required=False)
    host = HostField(label=_("Host"), required=False)
    doors = DoorsField()
    language = forms.ChoiceField(label=_("Language of the message"), choices=settings.LANGUAGES, required=False)
    deliver = forms.ChoiceField(label=_("Send the PIN"), widget=forms.RadioSelect, required=False)
    grace_minutes = forms.IntegerField(
        label=_("Opens early by (minutes)"), initial=15, min_value=0, max_value=240, required=False
    )
    needs_check_in = forms.BooleanField(label=_("Opens only after check-in"), required=False)

    def __init__(self, desk: Desk, *args: Any, **kwargs: Any) -> None:
        super().__init__(desk, *args, **kwargs)
        self.fields["form_id"].initial = str(uuid4())
        self.fields["language"].initial = desk.tenant.language
        self.fields["needs_check_in"].initial = desk.tenant.needs_check_in
        self.fields["grace_minutes"].initial = desk.tenant.grace_seconds // 60
        deliver: Any = self.fields["deliver"]
        deliver.choices = [
            ("email", _("By e-mail")),
            *([("sms", _("By text message"))] if settings.SMS_URL else []),
            ("none", _("Show only")),
        ]
        if desk.is_host:
            del self.fields["host"], self.fields["needs_check_in"], self.fields["grace_minutes"]
        elif desk.may(Right.PEOPLE_READ):
            self.fields["name"].widget.attrs |= suggesting()

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        if max(map(len, split_name(name))) > LONGEST_NAME:
            raise forms.ValidationError(
                _("A name has at most %(number)d letters.") % {"number": LONGEST_NAME}, code="max_length"
            )
        return name

    def clean_address(self) -> tuple[str, str]:
        text = self.cleaned_data["address"].strip()
        if not text:
            return "", ""
        if "@" in text:
            validate_email(text)
            return text, ""
        mobile = as_mobile(text, self.desk.site.time_zone)
        if mobile is None:
            raise forms.ValidationError(
                _("This is neither an e-mail address nor a phone number. Write numbers with country code: +49 …")
            )
        return "", mobile

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        email, mobile = values.get("address") or ("", "")
        deliver = values.get("deliver") or ("email" if email else "sms" if mobile and settings.SMS_URL else "none")
        if "address" in values:
            if deliver == "email" and not email:
                self.add_error("address", _("Write the e-mail address that the PIN is sent to, or choose “Show only”."))
            if deliver == "sms" and not mobile:
                self.add_error("address", _("Write the mobile number that the PIN is sent to, or choose “Show only”."))
        values["deliver"] = None if deliver == "none" else deliver
        return values

    def person(self) -> Person | None:
        """The visitor who is known already: chosen from the list, or the same name at the same address."""
        values = self.cleaned_data
        # Never of another site: whoever has somebody's visit may show their PIN, and exchange it.
        known = visible(self.desk.caller)
        if not self.desk.may(Right.PEOPLE_READ):
            # Nor may a host follow the ways of a colleague, whose name and address are no secret.
            known = known.filter(kind=Person.Kind.VISITOR)
        elif values.get("person_id"):
            return known.filter(pk=values["person_id"]).first()
        email, mobile = values.get("address") or ("", "")
        if not (email or mobile):
            return None
        same = known.filter(lower_email=email.lower()) if email else known.filter(mobile=mobile)
        name = values.get("name", "").casefold()
        return next((person for person in same.order_by("-pk")[:20] if person.name.casefold() == name), None)

    def values(self) -> dict[str, Any]:
        """What the domain takes, by its words."""
        cleaned = self.cleaned_data
        first_name, last_name = split_name(cleaned["name"])
        email, mobile = cleaned["address"]
        host, host_name = cleaned.get("host") or (None, "")
        grace = cleaned.get("grace_minutes")
        return {
            "first_name": first_name,
            "last_name": last_name,
            "email": email,
            "mobile": mobile,
            "channels": list(cleaned["doors"]),
            "site": self.desk.site,
            "site_ids": self.desk.caller.site_ids,
            "start_time": cleaned["start"],
            "end_time": cleaned["end"],
            "shift": self.opening_hours(),
            "language": cleaned.get("language") or "",
            "deliver": cleaned["deliver"],
            "host": self.desk.membership() if self.desk.is_host else host,
            "host_name": host_name,
            "grace_seconds": None if grace is None else grace * 60,
            "needs_check_in": None if self.desk.is_host else cleaned.get("needs_check_in", False),
            "form_token": cleaned["form_id"],
        }


def suggesting() -> dict[str, str]:
    """What makes a field ask for known visitors while somebody types."""
    return {
        "hx-get": reverse("desk:suggestions"),
        "hx-trigger": "input changed delay:120ms",
        "hx-target": "#found",
        "hx-sync": "this:replace",
    }
