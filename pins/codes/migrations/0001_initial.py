import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AddressDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("digest", models.BinaryField(max_length=32)),
                ("day", models.DateField()),
                ("codes", models.PositiveIntegerField(default=0)),
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
                "indexes": [models.Index(fields=["day", "tenant"], name="code_address_day_over")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "digest", "day"), name="code_address_day_unique")
                ],
            },
        ),
        migrations.CreateModel(
            name="Code",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("public_id", models.CharField(max_length=40)),
                ("purpose", models.CharField(max_length=60)),
                ("length", models.PositiveSmallIntegerField()),
                ("life_seconds", models.PositiveIntegerField()),
                ("key_version", models.PositiveSmallIntegerField()),
                ("digest", models.BinaryField(max_length=32)),
                ("sealed", models.BinaryField()),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
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
                "indexes": [models.Index(fields=["expires_at", "tenant"], name="code_over")],
                "constraints": [models.UniqueConstraint(fields=("tenant", "public_id"), name="code_public_id_unique")],
            },
        ),
        rls.SecureTable("addressday"),
        rls.SecureTable("code"),
        rls.FinderMayRead("addressday", columns="tenant_id, day"),
        rls.FinderMayRead("code", columns="tenant_id, expires_at"),
        rls.FinderFunction(
            "tenants_with_codes_over(moment timestamptz)",
            "SETOF bigint",
            "SELECT tenant_id FROM codes_code WHERE expires_at <= moment "
            "UNION SELECT tenant_id FROM codes_addressday WHERE day < (moment AT TIME ZONE 'UTC')::date",
        ),
    ]
