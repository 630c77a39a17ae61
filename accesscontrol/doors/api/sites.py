"""`/api/3/sites`: places with a time zone; also written, by callers who are not limited to some sites."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import sites
from accounts.answers import InstantField, named, one_page
from accounts.api import NAME, ResourceView, errors, paging
from accounts.bodies import Body
from accounts.idempotency import idempotent
from accounts.models import Site, known_time_zone
from accounts.rights import Right


class SiteAddressOutput(serializers.Serializer[Any]):
    ip_address = serializers.CharField()


class SiteOutput(serializers.ModelSerializer[Site]):
    """A place; the reference's network addresses are not kept here."""

    ip_address = serializers.CharField(read_only=True, default=None, allow_null=True, help_text="Always null.")
    site_ips = SiteAddressOutput(many=True, read_only=True, default=[], help_text="Always empty.")
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        model = Site
        fields = [
            "id",
            "name",
            "time_zone",
            "address",
            "help_phone",
            "notes",
            "ip_address",
            "site_ips",
            "created_at",
            "updated_at",
        ]


class SiteInput(Body):
    name = serializers.CharField(max_length=120)
    time_zone = serializers.CharField(
        max_length=60, required=False, validators=[known_time_zone], help_text="Of the IANA database: Europe/Berlin."
    )
    address = serializers.CharField(max_length=250, required=False, allow_blank=True)
    help_phone = serializers.CharField(max_length=40, required=False, allow_blank=True)
    notes = serializers.CharField(max_length=10_000, required=False, allow_blank=True)


class SiteView(ResourceView):
    """What the list and the single site share."""

    def visible(self) -> QuerySet[Site]:
        rows = Site.objects.order_by("name", "id")
        return rows if self.caller.site_ids is None else rows.filter(pk__in=self.caller.site_ids)

    def require_whole_tenant(self) -> None:
        if self.caller.site_ids is not None:
            raise PermissionDenied("Sites are changed by callers who are not limited to some of them.")


class SitesView(SiteView):
    rights: ClassVar = {"GET": Right.CHANNELS_READ, "POST": Right.CHANNELS_WRITE}

    @extend_schema(
        summary="List sites",
        tags=["sites"],
        parameters=[NAME, *paging(500, 1000)],
        responses={200: SiteOutput(many=True), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        found, headers = one_page(request, named(request, self.visible()), per_page=500, most=1000)
        return Response(SiteOutput(found, many=True).data, headers=headers)

    @extend_schema(summary="Add a site", tags=["sites"], request=SiteInput, responses={201: SiteOutput, **errors(422)})
    @idempotent
    def post(self, request: Request) -> Response:
        self.require_whole_tenant()
        form = SiteInput(data=request.data)
        form.is_valid(raise_exception=True)
        values = {"time_zone": self.tenant.time_zone, **form.validated_data}
        site = sites.create(values, by=self.caller.actor, now=self.now)
        return Response(SiteOutput(site).data, status=201)


class SiteDetailView(SiteView):
    rights: ClassVar = {"GET": Right.CHANNELS_READ, "PUT": Right.CHANNELS_WRITE}

    @extend_schema(summary="One site", tags=["sites"], responses={200: SiteOutput, **errors(404)})
    def get(self, request: Request, site_id: int) -> Response:
        return Response(SiteOutput(get_object_or_404(self.visible(), pk=site_id)).data)

    @extend_schema(
        summary="Change a site; what is left out stays",
        tags=["sites"],
        request=SiteInput(partial=True),
        responses={201: SiteOutput, **errors(404, 422)},
    )
    @idempotent
    def put(self, request: Request, site_id: int) -> Response:
        site = get_object_or_404(self.visible(), pk=site_id)
        self.require_whole_tenant()
        form = SiteInput(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        site = sites.change(site, form.validated_data, by=self.caller.actor, now=self.now)
        return Response(SiteOutput(site).data, status=201)
