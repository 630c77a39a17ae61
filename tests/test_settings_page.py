"""The settings of a tenant: all is found from one page, what reaches live PINs is said first, a logo is clean."""

from datetime import timedelta
from html import unescape
from io import BytesIO
from re import findall

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from PIL import Image, PngImagePlugin

from accesscontrol.credentials.models import Credential
from accesscontrol.overview import retention
from accesscontrol.visits import expiry
from accounts import logos, tenants
from accounts.models import AuditEvent, TenantLogo
from accounts.rights import StaffRole
from accounts.tenancy import tenant_context
from pins.deliveries.rendering import render_email
from pins.signin.staff.models import StaffSession
from tests import world
from tests.world import BY, NOW

HIDDEN = r'<input type="hidden" name="([^"]+)" value="([^"]*)"'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def picture(kind="PNG", size=(1200, 300), **options):
    buffer = BytesIO()
    Image.new("RGB", size, "#c03").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def manager(acme):
    member = world.a_member(StaffRole.MANAGER, now=timezone.now())
    world.a_staff_pin(member)
    client = world.signed_in(member.user)
    world.confirm(client, member)
    return client


def form_of(tenant, **values):
    tenant.refresh_from_db()
    return {
        "name": tenant.name, "time_zone": tenant.time_zone, "language": tenant.language, "colour": tenant.colour,
        "sends_reveal_links": "False", "needs_check_in": "False", "grace_seconds": "900",
        "weak_chosen_pins": tenant.weak_chosen_pins, "rotation_overlap_days": "3", "erase_expired_after_days": "7",
        "erase_people_after_days": "", **values,
    }  # fmt: skip


def save(client, tenant, **values):
    return client.post(f"/admin/accounts/tenant/{tenant.pk}/change/", form_of(tenant, **values), follow=True)


def test_everything_that_is_set_is_found_from_one_page(acme, manager):
    door = world.a_door("Front Door", is_visitor_door=True)
    world.a_reservation(world.a_person("Ann"), door, start=timezone.now(), now=timezone.now())
    text = manager.get("/admin/accounts/tenant/", follow=True).content.decode()
    for path in (
        "/admin/accounts/site/", "/admin/doors/channel/", "/admin/accounts/membership/", "/admin/staff/invitation/",
        "/admin/staff/staffsettings/", "/admin/access/alarmrecipient/", "/admin/access/patternrules/",
        "/admin/accounts/apikey/", "/admin/webhooks/subscription/",
        "/admin/accounts/oauthapplication/", "/admin/signin/signinsettings/",
        "/admin/data-protection/", f"/admin/doors/channel/{door.pk}/change/",
    ):  # fmt: skip
        assert f'href="{path}"' in text, path
    assert "3 free, then 30 s, doubling up to 60 min" in text
    assert "Erase people without any right after (days)" in text


def test_what_is_erased_by_saving_is_said_before(acme, manager):
    now = timezone.now()
    door = world.a_door(is_visitor_door=True)
    old = now - timedelta(days=60)
    for name in ("Ann", "Bob"):
        person = world.a_person(name, now=old)
        world.a_pin(person, now=old)
        world.a_reservation(person, door, start=old, now=old)
    world.a_person("New", now=now)
    for days in (0, 4):
        expiry.expire_due(old + timedelta(days=days, hours=3))
    assert Credential.objects.exclude(expired_at=None).count() == 2
    first = save(manager, acme, erase_expired_after_days="5", erase_people_after_days="30")
    text = first.content.decode()
    assert "2 expired PINs will be forgotten within a minute." in text
    assert "2 people will be erased for good within minutes." in text
    acme.refresh_from_db()
    assert acme.erase_people_after_days is None
    warning = first.context["adminform"].form.data["confirmed"]
    # What is said of other values is no consent to these.
    save(manager, acme, erase_people_after_days="30", confirmed="Yes")
    acme.refresh_from_db()
    assert acme.erase_people_after_days is None
    save(manager, acme, erase_expired_after_days="5", erase_people_after_days="30", confirmed=warning)
    acme.refresh_from_db()
    assert (acme.erase_expired_after_days, acme.erase_people_after_days) == (5, 30)
    assert Credential.objects.filter(due_at__lte=timezone.now()).count() == 2
    assert retention.over_after(timedelta(days=30), now) == 2
    retention.erase_due(timezone.now())
    assert retention.over_after(timedelta(days=30), now) == 0
    assert save(manager, acme, erase_people_after_days="0").context["errors"]


def test_a_logo_is_encoded_anew_and_nothing_of_the_upload_is_kept(acme, manager):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "kanarie was here")
    upload = SimpleUploadedFile("logo.png", picture(pnginfo=notes) + b"<script>kanarie</script>")
    assert save(manager, acme, logo=upload).status_code == 200
    logo = TenantLogo.objects.get()
    assert (logo.width, logo.height) == (480, 120)
    assert b"kanarie" not in bytes(logo.image)
    acme.refresh_from_db()
    answer = manager.get(f"/logo/{acme.logo_version}/")
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert Image.open(BytesIO(answer.content)).format == "PNG"
    assert Client().get(f"/logo/{acme.logo_version}/").status_code == 404
    assert f"/logo/{acme.logo_version}/" in manager.get("/admin/accounts/tenant/", follow=True).content.decode()
    email = render_email("account", language="en", context={"tenant_name": "Acme", "kind": "pin_changed"}, logo=logo)
    assert 'src="cid:logo"' in email.html
    assert email.logo == bytes(logo.image)
    save(manager, acme, remove_logo="on")
    acme.refresh_from_db()
    assert (acme.logo_version, TenantLogo.objects.count()) == (0, 0)
    assert AuditEvent.objects.filter(subject_type="tenant", fields=["logo"]).count() == 2


def hidden_fields(answer):
    return {name: unescape(value) for name, value in findall(HIDDEN, answer.content.decode())}


def test_a_chosen_logo_comes_along_while_the_pin_is_asked_for(acme, manager):
    StaffSession.objects.update(confirmed_at=None)
    chosen = {"logo": SimpleUploadedFile("logo.png", picture()), "erase_people_after_days": "400"}
    asking = save(manager, acme, **chosen)
    assert "Confirm with your PIN" in asking.content.decode()
    assert not TenantLogo.objects.exists()
    # Mistyped once; each answer carries what the page before it held.
    for pin in ("000000", "805294"):
        assert "logo" not in hidden_fields(asking)
        page = f"/admin/accounts/tenant/{acme.pk}/change/"
        asking = manager.post(page, {**hidden_fields(asking), "step_up_pin": pin}, follow=True)
    acme.refresh_from_db()
    assert acme.erase_people_after_days == 400
    assert (TenantLogo.objects.get().width, TenantLogo.objects.get().height) == (480, 120)


def test_a_chosen_logo_comes_along_while_a_consequence_is_told(acme, manager):
    world.a_person("Ann", now=timezone.now() - timedelta(days=90))
    chosen = {"logo": SimpleUploadedFile("logo.png", picture()), "erase_people_after_days": "30"}
    form = save(manager, acme, **chosen).context["adminform"].form
    assert not TenantLogo.objects.exists()
    again = {name: form.data[name] for name in ("confirmed", "logo_held")}
    save(manager, acme, erase_people_after_days="30", **again)
    assert TenantLogo.objects.count() == 1


def test_what_was_never_a_picture_is_refused_as_a_held_one_too(acme, manager):
    for text in ("x", "ä", "PHN2Zz4="):
        assert save(manager, acme, logo_held=text, name="Changed").context["errors"], text
    acme.refresh_from_db()
    assert acme.name == "Acme"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SVG, "This is no picture that can be read."),
        (b"GIF89a" + b"\x00" * 50, "This is no picture that can be read."),
        (picture()[:200], "This is no picture that can be read."),
        (picture(size=(9000, 9000)), "16 million dots"),
        (b"\x89PNG" + b"x" * 1_000_001, "1 MB at most"),
    ],
    ids=["svg", "gif", "cut", "bomb", "heavy"],
)
def test_what_is_no_logo_is_refused_beside_its_field(acme, manager, data, words):
    answer = save(manager, acme, name="Changed", logo=SimpleUploadedFile("logo.png", data))
    assert words in answer.content.decode()
    assert not TenantLogo.objects.exists()
    acme.refresh_from_db()
    assert acme.name == "Acme"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_each_kind_of_picture_becomes_a_png(acme, kind):
    logo = logos.set_logo(BytesIO(picture(kind, size=(60, 40))), by=BY, now=NOW)
    assert Image.open(BytesIO(bytes(logo.image))).format == "PNG"
    assert (logo.width, logo.height) == (60, 40)


def test_the_logo_of_another_tenant_is_not_shown(acme, manager):
    globex = tenants.found("Initech", now=NOW)
    with tenant_context(globex.pk):
        logos.set_logo(BytesIO(picture()), by=BY, now=NOW)
    assert not TenantLogo.objects.exists()
    assert manager.get("/logo/1/").status_code == 404
