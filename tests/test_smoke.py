from datetime import timedelta

from accesscontrol.access import attempts
from accesscontrol.access.models import Event
from accesscontrol.credentials.models import CredentialType
from tests import world
from tests.world import NOW


def test_a_visitor_gets_a_pin_and_the_door_opens(acme, django_assert_max_num_queries):
    front = world.a_door("Front Door", is_visitor_door=True)
    lab = world.a_door("Lab")
    ann = world.a_person("Ann", email="ann@example.com")
    issued = world.a_pin(ann)
    world.a_reservation(ann)
    with django_assert_max_num_queries(5):
        answer = attempts.attempt(front.pk, issued.value, type=CredentialType.PIN, now=NOW + timedelta(minutes=1))
    assert answer.admitted
    assert answer.person_name == "Ann"
    assert not attempts.attempt(lab.pk, issued.value, type=CredentialType.PIN, now=NOW).admitted
    late = attempts.attempt(front.pk, issued.value, type=CredentialType.PIN, now=NOW + timedelta(hours=2))
    assert not late.admitted
    assert [event.reason for event in Event.objects.order_by("id")] == ["", "unauthorized", "credential_expired"]
