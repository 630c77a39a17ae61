"""Every list of the router: filters, one order, cursors that pass nothing over, ETags, what is left of the limit."""

import re

import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, OAuthApplication
from accounts.rights import OF_SCOPE, StaffRole
from tests import world
from tests.test_api_document import DOCUMENT
from tests.test_api_queries import LISTS, furnish
from tests.world import BY

# Not a list, and one of two rows that never change.
FIXED = {"account", "credential_types"}
PAGING = {"page", "per_page", "cursor", "skip_pagination", "n", "sort", "envelope"}


def parameters(route):
    return {each["name"] for each in DOCUMENT["paths"][f"/api/3/{route}"]["get"].get("parameters", [])}


@pytest.fixture
def client(acme):
    now = timezone.now()
    for number in range(4):
        furnish(number, now)
    return world.api(world.an_api_key(*OF_SCOPE, now=now))


def test_there_are_lists():
    assert len(LISTS) >= 14
    assert set(LISTS) >= FIXED


@pytest.mark.parametrize("route", sorted(set(LISTS) - FIXED))
def test_a_list_is_filtered_ordered_and_paged(client, route):
    known = parameters(route)
    assert "cursor" in known
    assert known - PAGING, "a list without a filter"
    address = f"/api/3/{route}"
    whole = [row["id"] for row in client.get(address).json()]
    assert len(whole) >= 4
    size = "n" if "n" in known else "per_page"
    found, following = [], f"{address}?{size}=1" + ("" if size == "n" else "&cursor=")
    while following:
        answer = client.get(following)
        found += [row["id"] for row in answer.json()]
        assert len(answer.json()) <= 1
        link = re.fullmatch(r'<http://testserver(.+)>; rel="next"', answer.get("Link", ""))
        following = link[1] if link else None
        assert len(found) <= len(whole)
    assert found == whole
    assert client.get(f"{address}?cursor=nonsense").status_code == 422
    assert "page" not in known or client.get(f"{address}?cursor=&page=false").status_code == 422
    if "name" in known:
        [named] = [row for row in client.get(address).json() if row["id"] == whole[1]]
        listed = client.get(address, {"name": named["name"].upper()}).json()
        assert [row["id"] for row in listed] == [named["id"]]
        assert client.get(address, {"name": "nobody"}).json() == []


@pytest.mark.parametrize("route", sorted(LISTS))
def test_a_list_that_is_known_is_304_and_says_what_is_left(client, route):
    first = client.get(f"/api/3/{route}")
    again = client.get(f"/api/3/{route}", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for answer in (first, again):
        assert int(answer["X-RateLimit-Remaining"]) < int(answer["X-RateLimit-Limit"])
        assert answer["X-RateLimit-Reset"].isdecimal()


@pytest.mark.parametrize("kind", ["api", "token", "seam", "generator"])
def test_whatever_is_shown_has_a_limit_and_says_when_to_come_again(acme, kind):
    now = timezone.now()
    path = {"seam": "/seam/devices/list", "generator": "/v1/generate/pin"}.get(kind, "/api/3/account")
    if kind == "token":
        shown = world.a_token(world.a_member(StaffRole.OWNER, now=now), "account.person", now=now)
        OAuthApplication.objects.update(requests_per_minute=2)
    else:
        scopes = ["account.person"] if kind == "api" else []
        shown = keys.mint(kind, kind=ApiKey.Kind(kind), scopes=scopes, requests_per_minute=2, by=BY, now=now).value
    client = world.api(shown)
    answers = [client.get(path) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
