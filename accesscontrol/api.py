"""The paths of `/api/3`, one table."""

from django.urls import path, register_converter

from accesscontrol.access.api.attempts import AccessAttemptsView
from accesscontrol.access.api.channel_commands import (
    AdmissionRequestView,
    AdmitPersonView,
    AdmitView,
    AutoUnlockView,
    LockdownView,
    NormalView,
    UnlockdownView,
    UnlockView,
)
from accesscontrol.access.api.channels import ChannelsView, ChannelView
from accesscontrol.access.api.controllers import AcknowledgeView, ChannelCommandsView
from accesscontrol.access.api.events import EventDetailView, EventsView
from accesscontrol.access.api.offline import AccessListView, OfflineEventsView
from accesscontrol.access.api.sync import SyncView
from accesscontrol.credentials.api import CredentialTypesView
from accesscontrol.doors.api.shifts import ShiftDetailView, ShiftsView
from accesscontrol.doors.api.sites import SiteDetailView, SitesView
from accesscontrol.streams.api import CommandStreamView, CommandWaitView, EventStreamView
from accesscontrol.visits.api.credentials import (
    AllCredentialsView,
    CredentialView,
    PersonCredentialsView,
    PersonCredentialView,
    RotateCredentialView,
)
from accesscontrol.visits.api.group_reservations import GroupReservationDetailView, GroupReservationsView
from accesscontrol.visits.api.levels import GroupDetailView, GroupsView, RoleDetailView, RolesView
from accesscontrol.visits.api.people import PeopleView, PersonDetailView
from accesscontrol.visits.api.reservations import ReservationDetailView, ReservationsView
from accesscontrol.visits.api.visits import VisitView
from accesscontrol.webhooks.api import (
    PauseWebhookView,
    ReplayWebhookView,
    ResumeWebhookView,
    RotateWebhookSecretView,
    TestWebhookView,
    WebhookMessagesView,
    WebhooksView,
    WebhookView,
)
from accesscontrol.webhooks.rules_api import NotificationRulesView, NotificationRuleView
from accounts import docs
from accounts.addresses import nothing_else
from accounts.api import AccountView, NothingView


class IdConverter:
    """A whole number that fits a bigint."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(IdConverter, "id")

resources = [
    path("account", AccountView.as_view()),
    path("people", PeopleView.as_view()),
    path("people/<id:person_id>", PersonDetailView.as_view()),
    path("people/<id:person_id>/credentials", PersonCredentialsView.as_view()),
    path("people/<id:person_id>/credentials/<slug:public_id>", PersonCredentialView.as_view()),
    path("people/<id:person_id>/credentials/<slug:public_id>/rotate", RotateCredentialView.as_view()),
    path("credentials", AllCredentialsView.as_view()),
    path("credentials/<slug:public_id>", CredentialView.as_view()),
    path("credential_types", CredentialTypesView.as_view()),
    path("reservations", ReservationsView.as_view()),
    path("reservations/<id:reservation_id>", ReservationDetailView.as_view()),
    path("visits/<str:external_id>", VisitView.as_view()),
    path("group_reservations", GroupReservationsView.as_view()),
    path("group_reservations/<id:group_reservation_id>", GroupReservationDetailView.as_view()),
    path("sites", SitesView.as_view()),
    path("sites/<id:site_id>", SiteDetailView.as_view()),
    path("shifts", ShiftsView.as_view()),
    path("shifts/<id:shift_id>", ShiftDetailView.as_view()),
    path("roles", RolesView.as_view()),
    path("roles/<id:role_id>", RoleDetailView.as_view()),
    path("groups", GroupsView.as_view()),
    path("groups/<id:group_id>", GroupDetailView.as_view()),
    path("channels", ChannelsView.as_view()),
    path("channels/<id:channel_id>", ChannelView.as_view()),
    path("channels/<id:channel_id>/access_attempts", AccessAttemptsView.as_view()),
    path("channels/<id:channel_id>/admit", AdmitView.as_view()),
    path("channels/<id:channel_id>/admit_person", AdmitPersonView.as_view()),
    path("channels/<id:channel_id>/unlock", UnlockView.as_view()),
    path("channels/<id:channel_id>/normal", NormalView.as_view()),
    path("channels/<id:channel_id>/lockdown", LockdownView.as_view()),
    path("channels/<id:channel_id>/unlockdown", UnlockdownView.as_view()),
    path("channels/<id:channel_id>/auto_unlock", AutoUnlockView.as_view()),
    path("channels/<id:channel_id>/commands", ChannelCommandsView.as_view()),
    path("channels/<id:channel_id>/commands/stream", CommandStreamView.as_view()),
    path("channels/<id:channel_id>/commands/wait", CommandWaitView.as_view()),
    path("channels/<id:channel_id>/commands/<id:command_id>/acknowledge", AcknowledgeView.as_view()),
    path("channels/<id:channel_id>/access_list", AccessListView.as_view()),
    path("channels/<id:channel_id>/events", OfflineEventsView.as_view()),
    path("admission_requests/<id:admission_request_id>", AdmissionRequestView.as_view()),
    path("sync", SyncView.as_view()),
    path("events", EventsView.as_view()),
    path("events/stream", EventStreamView.as_view()),
    path("events/<id:event_id>", EventDetailView.as_view()),
    path("notification_rules", NotificationRulesView.as_view()),
    path("notification_rules/<id:rule_id>", NotificationRuleView.as_view()),
    path("webhooks", WebhooksView.as_view()),
    path("webhooks/<id:webhook_id>", WebhookView.as_view()),
    path("webhooks/<id:webhook_id>/messages", WebhookMessagesView.as_view()),
    path("webhooks/<id:webhook_id>/pause", PauseWebhookView.as_view()),
    path("webhooks/<id:webhook_id>/replay", ReplayWebhookView.as_view()),
    path("webhooks/<id:webhook_id>/resume", ResumeWebhookView.as_view()),
    path("webhooks/<id:webhook_id>/rotate_secret", RotateWebhookSecretView.as_view()),
    path("webhooks/<id:webhook_id>/test", TestWebhookView.as_view()),
]
urlpatterns = [
    *resources,
    path("schema/", docs.schema, name="schema"),
    path("docs/", docs.docs, name="docs"),
    nothing_else(NothingView.as_view()),
]
