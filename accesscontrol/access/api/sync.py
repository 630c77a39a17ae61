"""`POST /api/3/sync`: there is nothing to send, since what is written holds at once; says which doors lag behind."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accesscontrol.access import contact
from accesscontrol.access.api.channels import visible
from accounts.answers import InstantField
from accounts.api import ResourceView, errors
from accounts.rights import Right


class BehindOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=["online", "offline"])
    last_contact_at = InstantField(allow_null=True)
    waiting_changes = serializers.IntegerField()


class SyncResultOutput(serializers.Serializer[Any]):
    result = serializers.CharField(help_text="ok")
    description = serializers.CharField()
    channels_behind = BehindOutput(many=True)


class SyncView(ResourceView):
    rights: ClassVar = {"POST": Right.CHANNELS_SYNC}

    @extend_schema(
        summary="Which doors have not caught up",
        description="Changes hold at once at every door that asks the server. Behind are doors whose controller is "
        "silent, has not taken a command, or keeps a list for outages that something may have changed since.",
        tags=["channels"],
        request=None,
        responses={200: SyncResultOutput, **errors()},
    )
    def post(self, request: Request) -> Response:
        behind = contact.behind(visible(self.caller), self.now)
        body = {
            "result": "ok",
            "description": f"{len(behind)} doors have not caught up." if behind else "Every door has caught up.",
            "channels_behind": [
                {
                    "id": channel.pk,
                    "name": channel.name,
                    "status": "online" if standing.is_heard else "offline",
                    "last_contact_at": standing.last_contact_at,
                    "waiting_changes": max(1, standing.waiting_changes),
                }
                for channel, standing in behind
            ],
        }
        return Response(SyncResultOutput(body).data)
