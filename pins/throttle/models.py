"""What is remembered of a subject whose wrong entries are counted; see `tries` for the meaning."""

from django.db import models

from accounts.tenancy import TenantModel


class Throttle(TenantModel):
    """One row a subject; whoever tries holds its lock until the outcome is committed."""

    subject_kind = models.CharField(max_length=20)
    subject_id = models.CharField(max_length=80)
    failures = models.PositiveIntegerField(default=0)
    quiet_since = models.DateTimeField(null=True)
    wait_until = models.DateTimeField(null=True)
    # [[digest in hex, at, until, quiet_before], …] of `tries.Failure`, oldest first; instants in ISO 8601
    recent = models.JSONField(default=list)
    alarmed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "subject_kind", "subject_id"], name="throttle_subject_unique")
        ]
        indexes = [
            models.Index(
                fields=["tenant", "subject_kind", "wait_until"],
                condition=models.Q(wait_until__isnull=False),
                name="throttle_waiting",
            ),
            # Which tenants had wrong entries lately, asked before one is set.
            models.Index(fields=["subject_kind", "quiet_since", "tenant"], name="throttle_lately"),
        ]
