import io
import sys

import pytest
from django.core.management import CommandError, call_command

from accounts import tenants
from accounts.callers import places_of
from accounts.models import AuditEvent, Tenant, User
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from tests.world import NOW, PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def create(monkeypatch):
    """The command as a script runs it: the password on standard input, nobody to ask."""

    def run(email="ann@example.com", tenant="Acme Ltd", password=PASSWORD, **options):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
        out = io.StringIO()
        call_command("createowner", email=email, tenant=tenant, password_stdin=True, stdout=out, **options)
        return out.getvalue()

    return run


def places(email="ann@example.com"):
    user = User.objects.filter(email=email).first()
    return [(place.tenant_name, place.staff_role) for place in places_of(user.pk)] if user else []


def test_it_makes_the_platform_owner_and_a_tenant_of_their_own(create):
    told = create(email="Ann@Example.com ", name="Ann", time_zone="Europe/Berlin")
    user = User.objects.get(email="ann@example.com")
    assert (user.name, user.is_platform_owner, user.check_password(PASSWORD)) == ("Ann", True, True)
    assert told == "ann@example.com is a platform owner and owns Acme Ltd (acme-ltd).\n"
    [place] = places_of(user.pk)
    assert place.staff_role == StaffRole.OWNER
    with tenant_context(place.tenant_id):
        assert Tenant.objects.get(pk=place.tenant_id).time_zone == "Europe/Berlin"
        assert [event.actor_kind for event in AuditEvent.objects.all()] == ["command"]


def test_a_second_tenant_leaves_the_password(create):
    create()
    told = create(tenant="Globex", password="")
    assert "who keeps their password" in told
    assert places() == [("Acme Ltd", StaffRole.OWNER), ("Globex", StaffRole.OWNER)]
    assert User.objects.get(email="ann@example.com").check_password(PASSWORD)


def test_the_same_again_says_what_exists(create):
    create()
    assert create() == "ann@example.com owns Acme Ltd already; nothing was changed.\n"
    assert places() == [("Acme Ltd", StaffRole.OWNER)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"email": "ann"}, "“ann”: Enter a valid email address."),
        ({"password": "123456"}, "too short"),
        ({"password": ""}, "too short"),
        ({"time_zone": "Europe/Bielefeld"}, "not an IANA time zone"),
        ({"tenant": "   "}, "slug"),
        ({"slug": "not a slug"}, "slug"),
        ({"slug": "taken"}, "Choose another short name with --slug."),
        ({"tenant": "x" * 121}, "name"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(create, options, told):
    tenants.found("Globex", slug="taken", now=NOW)
    with pytest.raises(CommandError) as error:
        create(**options)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not User.objects.exists()


def test_somebody_is_asked_for_what_is_missing(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    answers = iter(["ann@example.com", "Ann", "Acme Ltd", "Europe/Berlin"])
    passwords = iter([PASSWORD, "a slip of the hand", PASSWORD, PASSWORD])
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    monkeypatch.setattr("getpass.getpass", lambda question: next(passwords))
    problems = io.StringIO()
    call_command("createowner", stdout=io.StringIO(), stderr=problems)
    assert "not the same" in problems.getvalue()
    assert places() == [("Acme Ltd", StaffRole.OWNER)]


@pytest.mark.parametrize("missing", ["email", "tenant"])
def test_where_nobody_can_be_asked_the_option_is_named(create, missing):
    with pytest.raises(CommandError, match=f"Name --{missing}."):
        create(**{missing: None})


def test_without_a_migrated_database_it_says_what_to_run(create, monkeypatch):
    monkeypatch.setattr(
        "django.db.migrations.executor.MigrationExecutor.migration_plan", lambda *_: [("accounts", "0001_initial")]
    )
    with pytest.raises(CommandError, match=r"manage\.py migrate"):
        create()
