"""`/api/3/roles` and `/api/3/groups`: who may open what. Callers of some sites see and give what is theirs."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.db.transaction import atomic as undone_together
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.doors import levels
from accesscontrol.doors.models import Channel, Role, RoleChannel, Shift
from accesscontrol.doors.periods import OPEN
from accesscontrol.people import grouping
from accesscontrol.people.models import Group, GroupRole
from accesscontrol.visits import belonging
from accesscontrol.visits.api.people import UnknownRole
from accesscontrol.visits.api.reservations import UnknownChannel, UnknownShift
from accounts.answers import InstantField, named, one_page
from accounts.api import NAME, ResourceView, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.models import Site
from accounts.refusals import Refusal
from accounts.rights import Right


class UnknownSite(Refusal):
    code = "does_not_exist"
    field = "site_id"
    text = "There is no site with this id."


class ReachesOtherSites(Refusal):
    code = "reaches_other_sites"
    status = 403
    text = "This reaches doors at other sites too: this caller may not change it."


class RoleOutput(serializers.ModelSerializer[Role]):
    channel_ids = serializers.SerializerMethodField()
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        model = Role
        fields = ["id", "name", "shift_id", "site_id", "channel_ids", "notes", "created_at", "updated_at"]

    def get_channel_ids(self, role: Role) -> list[int]:
        return list(self.context["channels"].get(role.pk, []))


class GroupOutput(serializers.ModelSerializer[Group]):
    global_across_sites = serializers.SerializerMethodField()
    role_ids = serializers.SerializerMethodField()
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        model = Group
        fields = ["id", "name", "notes", "global_across_sites", "site_id", "role_ids", "created_at", "updated_at"]

    def get_global_across_sites(self, group: Group) -> bool:
        return group.site_id is None

    def get_role_ids(self, group: Group) -> list[int]:
        return list(self.context["roles"].get(group.pk, []))


class RoleInput(Body):
    name = serializers.CharField(max_length=120)
    notes = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    site_id = serializers.IntegerField(required=False, allow_null=True)
    shift_id = serializers.IntegerField(required=False, allow_null=True, help_text="Null: at any time.")
    channel_ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=1000)


class GroupInput(Body):
    name = serializers.CharField(max_length=120)
    notes = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    site_id = serializers.IntegerField(required=False, allow_null=True, help_text="Null: of all sites.")
    role_ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=500)


class LevelView(ResourceView):
    """What roles and groups share: rows of the caller's sites and of all sites, written only where they are theirs."""

    def here(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = rows.order_by("name", "id")
        return rows if self.caller.site_ids is None else rows.filter(Q(site=None) | Q(site_id__in=self.caller.site_ids))

    def read(self, request: Request, form: serializers.Serializer[Any]) -> dict[str, Any]:
        """The fields to write, with the site that is meant; callers of some sites must name one of them."""
        form.is_valid(raise_exception=True)
        values = dict(form.validated_data)
        is_limited = self.caller.site_ids is not None
        if "site_id" in values or (is_limited and not form.partial):
            site_id = values.pop("site_id", None)
            sites = Site.objects.all() if not is_limited else Site.objects.filter(pk__in=self.caller.site_ids or ())
            values["site"] = sites.filter(pk=site_id).first()
            if values["site"] is None and (site_id is not None or is_limited):
                raise UnknownSite
        return values


class RoleView(LevelView):
    def shown(self, roles: list[Role]) -> Any:
        rows = RoleChannel.objects.filter(OPEN, role__in=roles).order_by("channel_id")
        if self.caller.site_ids is not None:
            rows = rows.filter(channel__site_id__in=self.caller.site_ids)
        channels: dict[int, list[int]] = {}
        for role_id, channel_id in rows.values_list("role_id", "channel_id"):
            channels.setdefault(role_id, []).append(channel_id)
        return RoleOutput(roles, many=True, context={"channels": channels}).data

    def write(self, role: Role, request: Request, *, partial: bool) -> Response:
        values = self.read(request, RoleInput(data=request.data, partial=partial))
        if "shift_id" in values:
            shift_id = values.pop("shift_id")
            values["shift"] = Shift.objects.filter(pk=shift_id, is_private=False).first()
            if values["shift"] is None and shift_id is not None:
                raise UnknownShift
        channels = None
        if "channel_ids" in values:
            wanted = set(values.pop("channel_ids"))
            found = Channel.objects.filter(pk__in=wanted)
            if self.caller.site_ids is not None:
                found = found.filter(site_id__in=self.caller.site_ids)
            channels = list(found)
            if len(channels) != len(wanted):
                raise UnknownChannel
        levels.save_role(role, values, channels=channels, by=self.caller.actor, now=self.now)
        return Response(self.shown([role])[0], status=201)


class RolesView(RoleView):
    rights: ClassVar = {"GET": Right.ACCESS_READ, "POST": Right.ACCESS_WRITE}

    @extend_schema(
        summary="List roles (access levels)",
        tags=["roles"],
        parameters=[NAME, *paging(500, 1000)],
        responses={200: RoleOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        found, headers = one_page(request, named(request, self.here(Role.objects.all())), per_page=500, most=1000)
        return Response(self.shown(found), headers=headers)

    @extend_schema(summary="Add a role", tags=["roles"], request=RoleInput, responses={201: RoleOutput, **errors(422)})
    @idempotent
    def post(self, request: Request) -> Response:
        return self.write(Role(), request, partial=False)


class RoleDetailView(RoleView):
    rights: ClassVar = {"GET": Right.ACCESS_READ, "PUT": Right.ACCESS_WRITE}

    @extend_schema(summary="One role", tags=["roles"], responses={200: RoleOutput, **errors(404)})
    def get(self, request: Request, role_id: int) -> Response:
        return Response(self.shown([get_object_or_404(self.here(Role.objects.all()), pk=role_id)])[0])

    @extend_schema(
        summary="Change what a role opens and when, from now on; what is left out stays",
        tags=["roles"],
        request=RoleInput(partial=True),
        responses={201: RoleOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, role_id: int) -> Response:
        role = get_object_or_404(self.here(Role.objects.select_related("shift", "site")), pk=role_id)
        if not belonging.roles_within(self.caller.site_ids).filter(pk=role.pk).exists():
            raise ReachesOtherSites
        return self.write(role, request, partial=True)


class GroupView(LevelView):
    def shown(self, groups: list[Group]) -> Any:
        rows = GroupRole.objects.filter(OPEN, group__in=groups).order_by("role_id")
        roles: dict[int, list[int]] = {}
        for group_id, role_id in rows.values_list("group_id", "role_id"):
            roles.setdefault(group_id, []).append(role_id)
        return GroupOutput(groups, many=True, context={"roles": roles}).data

    def write(self, group: Group, request: Request, *, partial: bool) -> Response:
        values = self.read(request, GroupInput(data=request.data, partial=partial))
        roles = None
        if "role_ids" in values:
            wanted = set(values.pop("role_ids"))
            roles = list(belonging.roles_within(self.caller.site_ids).filter(pk__in=wanted))
            if len(roles) != len(wanted):
                raise UnknownRole
        with undone_together():
            grouping.save(group, values, by=self.caller.actor, now=self.now)
            if roles is not None:
                belonging.set_group_roles(group, roles, by=self.caller.actor, now=self.now)
        return Response(self.shown([group])[0], status=201)


class GroupsView(GroupView):
    rights: ClassVar = {"GET": Right.ACCESS_READ, "POST": Right.ACCESS_WRITE}

    @extend_schema(
        summary="List groups",
        tags=["groups"],
        parameters=[NAME, *paging(500, 1000)],
        responses={200: GroupOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        found, headers = one_page(request, named(request, self.here(Group.objects.all())), per_page=500, most=1000)
        return Response(self.shown(found), headers=headers)

    @extend_schema(
        summary="Add a group", tags=["groups"], request=GroupInput, responses={201: GroupOutput, **errors(422)}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        return self.write(Group(), request, partial=False)


class GroupDetailView(GroupView):
    rights: ClassVar = {"GET": Right.ACCESS_READ, "PUT": Right.ACCESS_WRITE}

    @extend_schema(summary="One group", tags=["groups"], responses={200: GroupOutput, **errors(404)})
    def get(self, request: Request, group_id: int) -> Response:
        return Response(self.shown([get_object_or_404(self.here(Group.objects.all()), pk=group_id)])[0])

    @extend_schema(
        summary="Change a group and its roles from now on; what is left out stays",
        tags=["groups"],
        request=GroupInput(partial=True),
        responses={201: GroupOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, group_id: int) -> Response:
        group = get_object_or_404(self.here(Group.objects.select_related("site")), pk=group_id)
        if not belonging.groups_within(self.caller.site_ids).filter(pk=group.pk).exists():
            raise ReachesOtherSites
        return self.write(group, request, partial=True)
