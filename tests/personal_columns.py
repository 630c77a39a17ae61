"""What every column that can hold text says of a person. A new one is put here by hand, or a test fails.

`HERS` stands in rows of one person and goes with them; `FREE` is text in which anybody may be named; `SEALED` is opened
before it is looked into; of `NEVER` each reason says why it names nobody whom a door knows.
"""

# Rows of a person, as a condition, and their columns. `%(id)s` is the person's number.
HERS = {
    "people_person": (
        "id = %(id)s",
        (
            "first_name last_name salutation job_title department email lower_email mobile telephone language notes "
            "system_id barcode custom_1 custom_2 custom_3 custom_4 custom_5"
        ),
    ),
    "people_personword": ("person_id = %(id)s", "word"),
    "reservations_reservation": ("person_id = %(id)s", "purpose company external_id"),
    "access_alarm": ("person_id = %(id)s", "acknowledged_reason"),
    "access_channelcommand": ("person_id = %(id)s", "reason"),
    "visits_batchitem": ("person_id = %(id)s", "reason"),
    "visits_importrow": ("person_id = %(id)s OR other_id = %(id)s", "reason"),
    "deliveries_delivery": (
        "id IN (SELECT delivery_id FROM deliveries_deliverysubject WHERE kind = 'person' AND object_id = %(id)s)",
        "address",
    ),
    "webhooks_try": (
        "dispatch_id IN (SELECT id FROM webhooks_dispatch WHERE subject = 'person:%(id)s' OR subject ~ '^alarm:')",
        "answer",
    ),
    "accounts_idempotentanswer": ("body @> '{\"person_id\": %(id)s}'", "body"),
}
# Their copies are not told again in the person's own file; or it is not what is known, but how it was answered.
NOT_IN_THE_FILE = {
    "people_person.lower_email": "the address once more",
    "people_personword.word": "the names once more, to be found by",
    "accounts_idempotentanswer.body": "an answer kept for a day, of what the file tells",
    "webhooks_try.answer": "what another system answered, kept for its maintenance",
}

FREE = {
    "people_person": "job_title notes custom_1 custom_2 custom_3 custom_4 custom_5",
    "people_group": "notes",
    "doors_role": "notes",
    "doors_shift": "notes",
    "accounts_site": "notes",
    "reservations_groupvisit": "name",
    "reservations_reservation": "host_name purpose company",
    "access_alarm": "acknowledged_reason",
    "access_channelcommand": "reason",
    "doors_channelstate": "reason",
    "visits_batchitem": "reason",
    "visits_import": "name",
    "visits_importrow": "reason",
}

SEALED = {
    "codes_code": "sealed",
    "credentials_credential": "sealed",
    "deliveries_delivery": "content",
    "signin_forgottenpin": "sealed",
    "visits_importpart": "sealed",
    "webhooks_subscription": "secrets",
}

_WORDS = "one of a few words of ours"
_NUMBERS = "numbers, random text or digests"
_OWN = "what the tenant calls its own things"
_OTHERS = "staff, subscribers, receivers of alarms and machines: their own pages erase them"
NEVER = {
    _WORDS: {
        "access_alarm": "kind",
        "access_channelcommand": "kind actor_kind outcome",
        "access_event": "reason",
        "accounts_apikey": "kind scopes",
        "accounts_auditevent": "actor_kind verb subject_type fields",
        "accounts_membership": "role",
        "accounts_oauthaccesstoken": "scope",
        "accounts_oauthapplication": "client_type authorization_grant_type algorithm registration_source state scopes",
        "accounts_oauthconsent": "scopes",
        "accounts_oauthdevicegrant": "scope status",
        "accounts_oauthgrant": "scope code_challenge_method",
        "accounts_oauthidtoken": "scope",
        "accounts_site": "time_zone",
        "accounts_sitezone": "time_zone",
        "accounts_tenant": "colour language weak_chosen_pins",
        "codes_code": "purpose",
        "deliveries_delivery": "medium template language state last_error",
        "deliveries_deliverysubject": "kind",
        "doors_channel": "direction state",
        "doors_channelstate": "state actor_kind",
        "doors_holiday": "hours",
        "doors_shift": "on_holiday",
        "doors_shifttime": "on_holiday",
        "people_person": "kind",
        "signin_resetcode": "medium",
        "signin_signinsettings": "mode reset_email_carries",
        "signin_token": "kind",
        "staff_invitation": "role",
        "throttle_throttle": "subject_kind recent",
        "vault_fingerprint": "kind",
        "visits_batch": "kind deliver actor_kind plan",
        "visits_batchitem": "state",
        "visits_import": "state plan actor_kind",
        "visits_importrow": "fate field changed",
        "webhooks_dispatch": "type state body",
        "webhooks_subscription": "form kinds state",
        "webhooks_try": "error",
    },
    _NUMBERS: {
        "access_alarm": "subject",
        "access_attempt": "attempt_id asked",
        "access_offlineentry": "facts",
        "access_offlineevent": "source_id told",
        "accounts_apikey": "shown_prefix digest secret_digest",
        "accounts_auditevent": "subject_id",
        "accounts_idempotentanswer": "caller key_digest request_digest",
        "accounts_oauthaccesstoken": "token token_checksum",
        "accounts_oauthapplication": "client_id client_secret",
        "accounts_oauthdevicegrant": "device_code user_code client_id",
        "accounts_oauthgrant": "code code_challenge nonce claims",
        "accounts_oauthrefreshtoken": "token token_checksum",
        "codes_addressday": "digest",
        "codes_code": "public_id digest",
        "credentials_credential": "public_id",
        "deliveries_delivery": "message_id",
        "reservations_groupvisit": "form_token created_by",
        "reservations_reservation": "form_token changed_by created_by",
        "signin_resetcode": "digest",
        "signin_signinpin": "digest",
        "signin_token": "digest",
        "staff_invitation": "digest",
        "throttle_throttle": "subject_id",
        "vault_fingerprint": "digest",
        "visits_reveallink": "digest",
        "webhooks_dispatch": "message_id subject",
    },
    _OWN: {
        "accounts_site": "name address help_phone typing_hint",
        "accounts_tenant": "name slug time_zone",
        "accounts_tenantlogo": "image",
        "doors_channel": "name",
        "doors_holiday": "name",
        "doors_role": "name",
        "doors_shift": "name",
        "people_group": "name",
        "signin_signinsettings": "allowed_reset_urls security_questions",
    },
    _OTHERS: {
        "access_alarmrecipient": "name medium address language kinds",
        "accounts_apikey": "name",
        "accounts_oauthaccesstoken": "resource",
        "accounts_oauthapplication": "redirect_uris post_logout_redirect_uris name allowed_origins",
        "accounts_oauthgrant": "redirect_uri resource",
        "accounts_oauthrefreshtoken": "resource",
        "signin_securityanswer": "question_id question answer",
        "signin_subscriber": "email user_name user_name_shown phone password first_name last_name language",
        "staff_invitation": "email name",
        "webhooks_subscription": "name url",
    },
}


def named(tables: dict[str, str]) -> set[str]:
    return {f"{table}.{column}" for table, columns in tables.items() for column in columns.split()}


def of_hers() -> dict[str, str]:
    """Each column of a person's rows, and the condition for those rows."""
    return {f"{table}.{column}": rows for table, (rows, columns) in HERS.items() for column in columns.split()}
