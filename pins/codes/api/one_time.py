"""`/v1/codes`: make a one-time code, send it again, check it.

A replay by Idempotency-Key answers everything but the code, which is kept nowhere: whoever lost the first answer
asks for a new code by `resend`.
"""

import re
from datetime import timedelta
from typing import Any, ClassVar

from phonenumbers import NumberParseException, is_possible_number, parse
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.answers import instant_in_utc
from accounts.idempotency import idempotent
from pins.codes import issuing
from pins.codes.addresses import Receiver
from pins.codes.api.shape import ContractView
from pins.codes.checking import check
from pins.codes.generating import OutOfRange
from pins.codes.issuing import Issued


def _one_line(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("Write one line.")


def _telephone(number: str) -> None:
    try:
        possible = re.fullmatch(r"\+[0-9]{5,20}", number) and is_possible_number(parse(number))
    except NumberParseException:
        possible = False
    if not possible:
        raise ValidationError("Write the number with country code and without spaces, such as +493012345678.")


class DeliverInput(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254, required=False)
    sms = serializers.CharField(validators=[_telephone], required=False)

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        if len(attrs) != 1:
            raise ValidationError("Name one address, as email or as sms.")
        return attrs


class CodeInput(serializers.Serializer[Any]):
    """`ttl` is in seconds: up to 600, and up to 604,800 where an `order_reference` is checked with the code."""

    purpose = serializers.CharField(max_length=60, validators=[_one_line])
    length = serializers.IntegerField(min_value=issuing.SHORTEST, max_value=issuing.LONGEST, default=issuing.SHORTEST)
    ttl = serializers.IntegerField(
        min_value=1, max_value=int(issuing.LONGEST_PICK_UP.total_seconds()), required=False, allow_null=True
    )
    deliver = DeliverInput(required=False, allow_null=True)
    language = serializers.CharField(max_length=20, default="en", validators=[_one_line])
    order_reference = serializers.CharField(max_length=100, default="", allow_blank=True, validators=[_one_line])


class CheckInput(serializers.Serializer[Any]):
    code = serializers.CharField(max_length=100, allow_blank=True)
    order_reference = serializers.CharField(max_length=100, default="", allow_blank=True)

    def to_internal_value(self, data: Any) -> Any:
        # A number has lost its leading zeros: that would count as a wrong try.
        if isinstance(data, dict) and not isinstance(data.get("code", ""), str):
            raise ValidationError({"code": ["Send the code as text."]})
        return super().to_internal_value(data)


class CodesView(ContractView):
    secrets: ClassVar = {"code"}

    @idempotent
    def post(self, request: Request) -> Response:
        wanted = _read(CodeInput, request)
        deliver = wanted.get("deliver") or {}
        receiver = None
        for medium, address in deliver.items():
            receiver = Receiver(medium=medium, address=address, language=wanted["language"])
        issued = issuing.issue(
            purpose=wanted["purpose"],
            length=wanted["length"],
            ttl=None if wanted.get("ttl") is None else timedelta(seconds=wanted["ttl"]),
            order_reference=wanted["order_reference"],
            receiver=receiver,
            by=self.caller.actor,
            now=self.now,
        )
        return Response(_shown(issued), status=201)


class ResendView(ContractView):
    secrets: ClassVar = {"code"}

    @idempotent
    def post(self, request: Request, public_id: str) -> Response:
        return Response(_shown(issuing.resend(public_id, by=self.caller.actor, now=self.now)))


class CheckView(ContractView):
    def post(self, request: Request, public_id: str) -> Response:
        tried = _read(CheckInput, request)
        # People type what they read: “123 456”.
        value = re.sub(r"[\s-]", "", tried["code"])
        is_valid = check(
            public_id,
            value,
            order_reference=tried["order_reference"],
            by=self.caller.actor,
            now=self.now,
        )
        return Response({"valid": is_valid})


def _read(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = form(data=request.data)
    if serializer.is_valid():
        found: dict[str, Any] = serializer.validated_data
        return found
    path, text = _first(serializer.errors)
    name = ".".join(path) or "body"
    raise OutOfRange(f"{name}: {text}", field=name, value=_repeated(request.data, path))


def _repeated(sent: Any, path: list[str]) -> Any:
    """The value that is wrong; never a code, and nothing that JSON cannot hold or that is long."""
    for name in path:
        sent = sent.get(name) if isinstance(sent, dict) else None
    if path[-1:] == ["code"]:
        return None
    if isinstance(sent, str):
        return sent[:100]
    return sent if isinstance(sent, int) and abs(sent) < 10**15 else None


def _first(errors: Any) -> tuple[list[str], ErrorDetail]:
    if isinstance(errors, list):
        return [], errors[0]
    name, inner = next(iter(errors.items()))
    path, text = _first(inner)
    return ([] if name == "non_field_errors" else [name, *path]), text


def _shown(issued: Issued) -> dict[str, Any]:
    code = issued.code
    shown: dict[str, Any] = {
        "id": code.public_id,
        "purpose": code.purpose,
        "length": code.length,
        "expires_at": instant_in_utc(code.expires_at),
    }
    return shown | ({"deliver": issued.medium} if issued.medium else {"code": issued.value})
