"""`GET /v1/generate/pin`."""

from rest_framework.request import Request
from rest_framework.response import Response

from pins.codes.api.shape import ContractView
from pins.codes.generating import generated, order_of_texts


class PinView(ContractView):
    def get(self, request: Request) -> Response:
        return Response(generated(order_of_texts(request.query_params)))
