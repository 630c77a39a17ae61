"""The paths of the facade, under `/seam`: what a client of Seam's is given as its endpoint."""

from django.urls import path

from accesscontrol.seam import codes, devices, events
from accesscontrol.seam.answers import DELETE, READ, WRITE, NothingHere, answering
from accounts.addresses import nothing_else
from accounts.rights import Right

urlpatterns = [
    path("workspaces/get", answering(READ, Right.ACCOUNT_READ, devices.get_workspace)),
    path("devices/list", answering(READ, Right.CHANNELS_READ, devices.list_devices)),
    path("devices/get", answering(READ, Right.CHANNELS_READ, devices.get_device)),
    path("locks/list", answering(READ, Right.CHANNELS_READ, devices.list_locks)),
    path("locks/get", answering(READ, Right.CHANNELS_READ, devices.get_device)),
    path("locks/unlock_door", answering(WRITE, Right.CHANNELS_ADMIT, devices.unlock_door)),
    path("action_attempts/get", answering(READ, Right.CHANNELS_READ, devices.get_action_attempt)),
    path("access_codes/create", answering(WRITE, Right.VISITS_WRITE, codes.create)),
    path("access_codes/create_multiple", answering(WRITE, Right.VISITS_WRITE, codes.create_multiple)),
    path("access_codes/list", answering(READ, Right.VISITS_READ, codes.list_codes)),
    path("access_codes/get", answering(READ, Right.PINS_READ, codes.get_code)),
    path("access_codes/update", answering(WRITE, Right.VISITS_WRITE, codes.update)),
    path("access_codes/update_multiple", answering(WRITE, Right.VISITS_WRITE, codes.update_multiple)),
    path("access_codes/delete", answering(DELETE, Right.VISITS_WRITE, codes.delete)),
    path("events/list", answering(READ, Right.EVENTS_READ, events.list_events)),
    path("events/get", answering(READ, Right.EVENTS_READ, events.get_event)),
    nothing_else(NothingHere.as_view()),
]
