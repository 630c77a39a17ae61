import accounts.tenancy
import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import pins.signin.models.settings
import uuid
from django.db import migrations, models

from accounts import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("throttle", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Subscriber",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("email", models.CharField(blank=True, max_length=254, null=True)),
                ("user_name", models.CharField(blank=True, max_length=100, null=True)),
                ("user_name_shown", models.CharField(blank=True, max_length=100)),
                ("phone", models.CharField(blank=True, max_length=20, null=True)),
                ("password", models.CharField(max_length=200)),
                ("first_name", models.CharField(blank=True, max_length=100)),
                ("last_name", models.CharField(blank=True, max_length=100)),
                ("language", models.CharField(default="en", max_length=20)),
                ("logins", models.PositiveIntegerField(default=0)),
                ("last_login_at", models.DateTimeField(blank=True, null=True)),
                ("password_set_at", models.DateTimeField()),
                ("blocked_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "-created_at", "-id"], name="subscriber_newest_first")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "uid"), name="subscriber_uid_unique"),
                    models.UniqueConstraint(fields=("tenant", "email"), name="subscriber_email_unique"),
                    models.UniqueConstraint(fields=("tenant", "user_name"), name="subscriber_user_name_unique"),
                    models.UniqueConstraint(fields=("tenant", "phone"), name="subscriber_phone_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("email", django.db.models.functions.text.Lower("email")),
                            ("user_name", django.db.models.functions.text.Lower("user_name")),
                        ),
                        name="subscriber_is_found_in_lower_case",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("email__isnull", False),
                            ("user_name__isnull", False),
                            ("phone__isnull", False),
                            _connector="OR",
                        ),
                        name="subscriber_can_be_found",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SignInPin",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key_version", models.PositiveSmallIntegerField(null=True)),
                ("digest", models.BinaryField(max_length=32, null=True)),
                ("set_at", models.DateTimeField(null=True)),
                ("skipped_at", models.DateTimeField(null=True)),
                (
                    "membership",
                    accounts.tenancy.TenantForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.membership",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
                (
                    "subscriber",
                    accounts.tenancy.TenantForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="signin.subscriber",
                    ),
                ),
            ],
            options={
                "verbose_name": "sign-in PIN",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("membership__isnull", True), ("subscriber__isnull", False)),
                            models.Q(("membership__isnull", False), ("subscriber__isnull", True)),
                            _connector="OR",
                        ),
                        name="signin_pin_of_one_account",
                    ),
                    models.UniqueConstraint(fields=("tenant", "membership"), name="signin_pin_one_per_membership"),
                    models.UniqueConstraint(fields=("tenant", "subscriber"), name="signin_pin_one_per_subscriber"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("digest__isnull", True), ("key_version__isnull", True), ("set_at__isnull", True)),
                            models.Q(
                                ("digest__isnull", False), ("key_version__isnull", False), ("set_at__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="signin_pin_is_whole",
                    ),
                ],
                "indexes": [models.Index(fields=["tenant", "key_version"], name="signin_pin_by_key")],
            },
        ),
        migrations.CreateModel(
            name="SecurityAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("question_id", models.CharField(max_length=32)),
                ("question", models.CharField(max_length=200)),
                ("answer", models.CharField(max_length=200)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
                (
                    "subscriber",
                    accounts.tenancy.TenantForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="signin.subscriber",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "subscriber", "question_id"), name="security_answer_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ResetCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("medium", models.CharField(max_length=10)),
                ("digest", models.BinaryField(max_length=32)),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
                (
                    "subscriber",
                    accounts.tenancy.TenantForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="signin.subscriber",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at", "tenant"], name="signin_code_over")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "subscriber", "medium"), name="signin_code_one_per_medium"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Token",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("access", "Access token"),
                            ("refresh", "Refresh token"),
                            ("session", "PIN session token"),
                            ("pin_auth", "PIN auth token"),
                            ("step_up", "Second factor validation token"),
                            ("reset", "PIN reset token"),
                        ],
                        max_length=10,
                    ),
                ),
                ("digest", models.BinaryField(max_length=32)),
                ("family", models.UUIDField()),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                (
                    "subscriber",
                    accounts.tenancy.TenantForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="signin.subscriber",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "subscriber", "kind"], name="signin_token_of_subscriber"),
                    models.Index(fields=["expires_at", "tenant"], name="signin_token_over"),
                    models.Index(condition=models.Q(("kind", "reset")), fields=["digest"], name="signin_token_of_link"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "digest"), name="signin_token_digest_unique")
                ],
            },
        ),
        migrations.CreateModel(
            name="ForgottenPin",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed", models.BinaryField()),
                ("asked_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "wish for a new PIN",
                "verbose_name_plural": "wishes for a new PIN",
                "indexes": [models.Index(fields=["asked_at", "tenant"], name="signin_forgotten_first")],
            },
        ),
        migrations.CreateModel(
            name="SignInSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "mode",
                    models.CharField(
                        choices=[("off", "Off"), ("optional", "Optional"), ("required", "Required")],
                        default="optional",
                        max_length=10,
                    ),
                ),
                ("asked_at_registration", models.BooleanField(default=True)),
                ("asked_at_first_login", models.BooleanField(default=True)),
                ("asked_at_each_login", models.BooleanField(default=False)),
                ("pin_login", models.BooleanField(default=True)),
                (
                    "pin_length",
                    models.PositiveSmallIntegerField(
                        default=6,
                        validators=[
                            django.core.validators.MinValueValidator(4),
                            django.core.validators.MaxValueValidator(12),
                        ],
                    ),
                ),
                (
                    "failures_allowed",
                    models.PositiveSmallIntegerField(
                        default=5,
                        validators=[
                            django.core.validators.MinValueValidator(3),
                            django.core.validators.MaxValueValidator(10),
                        ],
                    ),
                ),
                (
                    "session_minutes",
                    models.PositiveIntegerField(
                        default=10,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(10080),
                        ],
                    ),
                ),
                (
                    "access_token_minutes",
                    models.PositiveIntegerField(
                        default=15,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1440),
                        ],
                    ),
                ),
                (
                    "otp_minutes",
                    models.PositiveSmallIntegerField(
                        default=5,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(10),
                        ],
                    ),
                ),
                (
                    "reset_link_minutes",
                    models.PositiveSmallIntegerField(
                        default=60,
                        validators=[
                            django.core.validators.MinValueValidator(5),
                            django.core.validators.MaxValueValidator(1440),
                        ],
                    ),
                ),
                (
                    "reset_email_carries",
                    models.CharField(
                        choices=[("link", "A link"), ("otp", "A one-time code")], default="link", max_length=10
                    ),
                ),
                (
                    "allowed_reset_urls",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=300, validators=[pins.signin.models.settings.reset_url]),
                        blank=True,
                        default=list,
                        size=20,
                    ),
                ),
                (
                    "security_questions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), blank=True, default=list, size=20
                    ),
                ),
                (
                    "questions_asked",
                    models.PositiveSmallIntegerField(
                        default=2,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(5),
                        ],
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=accounts.tenancy.tenant_of_new_row,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "PIN sign-in",
                "verbose_name_plural": "PIN sign-in",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant",), name="signin_settings_one_per_tenant"),
                    models.CheckConstraint(
                        condition=models.Q(("failures_allowed__range", (3, 10))),
                        name="signin_settings_failures_3_to_10",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("pin_length__range", (4, 12))), name="signin_settings_pin_length"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("otp_minutes__range", (1, 10))), name="signin_settings_otp_10_minutes"
                    ),
                ],
            },
        ),
        rls.SecureTable("signinsettings"),
        rls.SecureTable("subscriber"),
        rls.SecureTable("securityanswer"),
        rls.SecureTable("signinpin"),
        rls.SecureTable("token"),
        rls.SecureTable("resetcode"),
        rls.SecureTable("forgottenpin"),
        rls.FinderMayRead("token", columns="tenant_id, kind, digest, expires_at"),
        rls.FinderMayRead("resetcode", columns="tenant_id, expires_at"),
        rls.FinderMayRead("forgottenpin", columns="tenant_id, asked_at"),
        rls.FinderFunction(
            "tenants_with_forgotten_pins(moment timestamptz)",
            "SETOF bigint",
            "SELECT DISTINCT tenant_id FROM signin_forgottenpin WHERE asked_at <= moment",
        ),
        rls.FinderFunction(
            "tenants_with_sign_ins_over(moment timestamptz)",
            "SETOF bigint",
            "SELECT tenant_id FROM signin_token WHERE expires_at <= moment "
            "UNION SELECT tenant_id FROM signin_resetcode WHERE expires_at <= moment "
            "UNION SELECT tenant_id FROM throttle_throttle "
            "WHERE subject_kind IN ('sign_in_password', 'sign_in_reset', 'sign_in_recovery') "
            "AND quiet_since <= moment - interval '30 days'",
        ),
        # The link in a message is opened by somebody of whom nothing else is known.
        rls.FinderFunction(
            "tenant_of_reset_link(digests bytea[])",
            "bigint",
            "SELECT k.tenant_id FROM signin_token k JOIN accounts_tenant t ON t.id = k.tenant_id "
            "WHERE k.digest = ANY (digests) AND k.kind = 'reset' AND t.suspended_at IS NULL",
        ),
    ]
