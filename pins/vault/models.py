"""Keyed digests by which a sealed value is found, and which keep two people from holding the same one."""

from django.db import models

from accounts.tenancy import TenantModel


class Fingerprint(TenantModel):
    """One digest of a held value under one key version; `holder_id` is the row that holds the sealed value."""

    class Kind(models.TextChoices):
        PLAIN = "plain", "Plain"
        DURESS = "duress", "Duress"

    key_version = models.PositiveSmallIntegerField()
    digest = models.BinaryField(max_length=32)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.PLAIN)
    holder_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "key_version", "digest"], name="fingerprint_unique")]
        indexes = [models.Index(fields=["tenant", "holder_id"], name="fingerprint_of_holder")]
