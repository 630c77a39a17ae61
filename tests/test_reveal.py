"""A link in the place of a PIN: opened by a button, counted, and dead when the visit is."""

import re
from datetime import timedelta

import pytest
import redis
from django.core import mail
from django.db import connection
from django.test import Client

from accesscontrol.visits import issuing, reserving, rotation
from accesscontrol.visits.models import RevealLink
from accounts.models import AuditEvent, Tenant
from accounts.tenancy import current_tenant_id
from pins.deliveries.sending import send_next
from tests import world
from tests.world import BY, NOW

PIN, SHOWN = "83951642", "83-95-1642"


@pytest.fixture(autouse=True)
def _clock(time_machine, settings, db):
    time_machine.move_to(NOW, tick=False)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()


@pytest.fixture
def acme_links(acme):
    Tenant.objects.filter(pk=acme.pk).update(sends_reveal_links=True)
    return acme


@pytest.fixture
def ann(acme_links):
    site = world.a_site("Head Office", address="Main Street 12", help_phone="+49 30 231251-00")
    world.a_door("Front Door", site=site, is_visitor_door=True)
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, PIN)
    return ann


def path_in_mail():
    while send_next(current_tenant_id(), clock=lambda: NOW):
        pass
    message = mail.outbox[-1]
    html = message.alternatives[0][0]
    for text in (message.subject, message.body, html):
        assert PIN not in text
        assert SHOWN not in text
    [found] = set(re.findall(r"/visit/[a-z2-7]+", message.body))
    assert found in html
    assert found not in message.subject
    return found


@pytest.fixture
def visit(ann):
    return world.a_reservation(ann, deliver="email")


@pytest.fixture
def path(visit):
    return path_in_mail()


def get(path, **headers):
    return Client().get(path, headers=headers)


def post(path, data=None):
    # Without a cookie or a token: the button must work in any program's window.
    return Client(enforce_csrf_checks=True).post(path, data)


def test_a_preview_sees_no_pin_and_does_not_count(path):
    for _ in range(3):
        response = get(path)
        assert response.status_code == 200
        assert SHOWN not in response.content.decode()
    assert Client().head(path).status_code == 200
    link = RevealLink.objects.get()
    assert (link.views, link.first_viewed_at) == (0, None)
    assert not AuditEvent.objects.filter(verb="reveal").exists()


def test_the_button_shows_the_pin_and_counts_each_time(path, time_machine):
    text = post(path).content.decode()
    for words in (
        SHOWN,
        "Front Door",
        "Main Street 12",
        "11:00 to 13:00 (local time)",
        "+49 30 231251-00",
        "green key",
    ):
        assert words in text
    assert 'href="tel:+493023125100"' in text
    assert SHOWN not in re.search(r"<title>(.*?)</title>", text, re.DOTALL)[1]
    time_machine.move_to(NOW + timedelta(minutes=5), tick=False)
    post(path)
    link = RevealLink.objects.get()
    assert (link.views, link.first_viewed_at, link.last_viewed_at) == (2, NOW, NOW + timedelta(minutes=5))
    seen = AuditEvent.objects.filter(verb="reveal", subject_type="credential", subject_id=str(link.credential_id))
    assert [(event.actor_kind, event.actor_id) for event in seen] == [("link", link.pk)] * 2


def test_nothing_keeps_the_page_or_tells_its_address(path):
    for response in (get(path), post(path), get("/visit/" + "a" * 32)):
        assert response["Cache-Control"] == "no-store"
        assert response["Referrer-Policy"] == "no-referrer"
        assert "noindex" in response["X-Robots-Tag"]
        assert "Set-Cookie" not in response.headers
        policy = response["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert not re.search(r"\sstyle=|<script|<style", response.content.decode())


def test_the_token_is_kept_as_a_keyed_digest_alone(path):
    token = path.rpartition("/")[2]
    with connection.cursor() as cursor:
        cursor.execute("SELECT l::text FROM visits_reveallink l UNION ALL SELECT d::text FROM deliveries_delivery d")
        rows = str(cursor.fetchall())
    assert token not in rows
    assert token.encode().hex() not in rows
    assert len(token) * 5 == 160


def test_a_link_outlives_the_change_of_the_secret_key(path, settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]
    assert get(path).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert get(path).status_code == 404


def gone(path):
    for response in (get(path), post(path)):
        text = response.content.decode()
        assert response.status_code == 410
        assert SHOWN not in text
        # Somebody who finds an old link learns no more than whom to call.
        assert "Main Street" not in text
        assert "Ann" not in text
    return text


def test_it_dies_to_the_second_at_the_end_of_the_visit(path, time_machine):
    time_machine.move_to(NOW + timedelta(hours=2, seconds=-1), tick=False)
    assert SHOWN in post(path).content.decode()
    time_machine.move_to(NOW + timedelta(hours=2), tick=False)
    assert "This visit is over" in gone(path)


def test_it_lives_on_when_the_visit_is_extended(path, visit, time_machine):
    reserving.reschedule(visit, end_time=NOW + timedelta(hours=5), by=BY, now=NOW)
    time_machine.move_to(NOW + timedelta(hours=3), tick=False)
    assert SHOWN in post(path).content.decode()


def test_it_dies_with_the_visit(path, visit):
    reserving.cancel(visit, by=BY, now=NOW)
    assert "This visit was cancelled" in gone(path)


def test_it_dies_with_the_pin_and_says_when_there_is_a_newer_one(path, ann):
    credential = RevealLink.objects.get().credential
    issuing.revoke(credential, by=BY, now=NOW)
    assert "This visit is over" in gone(path)
    world.a_pin(ann, deliver="email")
    assert "There is a newer PIN" in gone(path)
    assert get(path_in_mail()).status_code == 200


def test_a_disabled_pin_or_person_is_not_shown(path, ann):
    credential = RevealLink.objects.get().credential
    issuing.set_enabled(credential, False, by=BY, now=NOW)
    assert "does not work at the moment" in gone(path)
    issuing.set_enabled(credential, True, by=BY, now=NOW)
    assert get(path).status_code == 200
    type(ann).objects.filter(pk=ann.pk).update(enabled=False)
    assert "does not work at the moment" in gone(path)


def test_a_pin_without_a_visit_has_a_link_of_two_weeks(acme_links, time_machine):
    world.a_door()
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, PIN, deliver="email")
    path = path_in_mail()
    assert SHOWN in post(path).content.decode()
    time_machine.move_to(NOW + timedelta(days=14), tick=False)
    gone(path)


def test_a_rotated_pin_is_sent_as_a_link_too(acme_links):
    world.a_door()
    ann = world.a_person("Ann", email="ann@example.com")
    successor = rotation.rotate(world.a_pin(ann, PIN).credential, by=BY, now=NOW)
    assert successor.delivery
    path = path_in_mail()
    assert RevealLink.objects.get().credential == successor.credential
    assert get(path).status_code == 200


@pytest.mark.parametrize("token", ["a" * 32, "A" * 32, "a" * 31, "x" * 500, "%00", "Ä", "1" * 32, "..%2f"])
def test_what_is_no_link_leads_nowhere(path, token):
    response = get(f"/visit/{token}")
    assert response.status_code == 404
    assert "This link leads nowhere" in response.content.decode() or "%2f" in token


def test_a_suspended_tenants_links_lead_nowhere(path, acme_links):
    Tenant.objects.filter(pk=acme_links.pk).update(suspended_at=NOW)
    assert get(path).status_code == 404


def test_the_page_speaks_the_visitors_language_whatever_the_browser_says(ann):
    type(ann).objects.filter(pk=ann.pk).update(language="de")
    ann.refresh_from_db()
    world.a_reservation(ann, deliver="email")
    text = get(path_in_mail(), **{"Accept-Language": "es"}).content.decode()
    assert '<html lang="de">' in text
    assert "Ihr Besuch" in text
    assert "Mittwoch, 1. Juli 2026, 11:00 bis 13:00 Uhr (Ortszeit)" in text


def test_showing_and_guessing_are_slowed_down(path):
    answers = [post(path).status_code for _ in range(12)]
    assert answers == [200] * 10 + [429] * 2
    assert RevealLink.objects.get().views == 10
    assert int(post(path)["Retry-After"]) <= 60
    statuses = {get("/visit/" + "b" * 32).status_code for _ in range(130)}
    assert statuses == {404, 429}


def test_a_signed_in_member_of_another_tenant_sees_what_the_link_shows(path, acme_links):
    from accounts.tenancy import tenant_context

    globex = Tenant.objects.raw("SELECT * FROM finder.all_tenants() AS t(id) WHERE id <> %s", [acme_links.pk])
    with tenant_context(next(iter(globex)).pk):
        member = world.a_member("owner", "mallory@globex.example")
    client = world.signed_in(member.user)
    assert SHOWN in client.post(path).content.decode()
    assert current_tenant_id() == acme_links.pk


def test_the_page_takes_the_same_few_queries(path, django_assert_num_queries):
    get(path)
    with django_assert_num_queries(8):
        get(path)
    with django_assert_num_queries(12):
        post(path)
