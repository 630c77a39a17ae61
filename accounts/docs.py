"""The API document and the page that shows it: made once a process, and nothing on the page is of a third party."""

import hashlib
from functools import cache

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import condition, require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """OpenAPI 3.1 as JSON, or with `?format=yaml` as YAML."""
    kind = "yaml" if request.GET.get("format") == "yaml" else "json"
    content, tag = _document(kind)
    answer: HttpResponse = condition(etag_func=lambda request: tag)(
        lambda request: HttpResponse(content, content_type="application/json" if kind == "json" else "application/yaml")
    )(request)
    patch_vary_headers(answer, ["Accept", "Authorization"])
    return answer


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "api/docs.html")


@cache
def _document(kind: str) -> tuple[bytes, str]:
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    if kind == "json":
        content = JsonResponse(document).content
    else:
        content = OpenApiYamlRenderer().render(document, renderer_context={})  # type: ignore[no-untyped-call]
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
