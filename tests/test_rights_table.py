"""What a token may do at each endpoint: its scope, and no more than the staff role of the member who consented.

The endpoints are those of the router (tests/test_callers.py says which right each asks for); roles stand here a
second time, so that a change in accounts/rights.py must be meant.
"""

import pytest
from django.utils import timezone

from accounts.rights import OF_ROLE, Right, StaffRole
from tests import world
from tests.test_callers import ENDPOINTS, MAY, SCOPES, ask, endpoints, filled

ALL = set(StaffRole)
DESK = {StaffRole.OWNER, StaffRole.MANAGER, StaffRole.FRONT_DESK}
MANAGING = {StaffRole.OWNER, StaffRole.MANAGER}
ROLES = {
    Right.ACCOUNT_READ: ALL,
    Right.PEOPLE_READ: ALL - {StaffRole.HOST},
    Right.PEOPLE_WRITE: DESK,
    Right.VISITS_READ: ALL - {StaffRole.HOST},
    Right.VISITS_WRITE: DESK,
    Right.ACCESS_READ: ALL - {StaffRole.HOST},
    Right.ACCESS_WRITE: MANAGING,
    Right.CHANNELS_READ: ALL - {StaffRole.HOST},
    Right.CHANNELS_WRITE: MANAGING,
    Right.CHANNELS_ADMIT: DESK,
    Right.CHANNELS_ADMIT_PERSON: DESK,
    Right.EVENTS_READ: ALL - {StaffRole.HOST},
    Right.ALARMS_WRITE: MANAGING,
    Right.SETTINGS_WRITE: MANAGING,
    Right.WEBHOOKS_READ: MANAGING,
    Right.CHANNELS_SYNC: DESK,
    Right.DECIDE: set(),
}


def test_the_roles_and_scopes_of_each_right_are_these():
    asked = set(ENDPOINTS.values())
    assert asked <= set(ROLES)
    assert asked <= set(MAY)
    assert {right: {role for role in StaffRole if right in OF_ROLE[role]} for right in asked} == {
        right: ROLES[right] for right in asked
    }


@pytest.mark.parametrize("role", StaffRole)
def test_what_a_token_may_do_at_each_endpoint(acme, role):
    member = world.a_member(role)
    tried = 0
    for scope in SCOPES:
        token = world.a_token(member, scope, now=timezone.now())
        for route, method, pattern in list(endpoints()):
            right = ENDPOINTS[route, method]
            allowed = scope in MAY[right] and role in ROLES[right]
            response = ask(filled(pattern), method.lower(), "{}", Authorization=f"Bearer {token}")
            # Past the gate an empty request meets the list, a field that is missing, or nothing at this id.
            expected = (200, 404, 422) if allowed else (403,)
            assert response.status_code in expected, (role, scope, method, route, response.content)
            tried += 1
    assert tried == len(SCOPES) * len(ENDPOINTS)
