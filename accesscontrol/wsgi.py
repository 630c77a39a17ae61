"""What granian serves. It does not start where a wall between tenants is missing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accesscontrol.settings")

application = get_wsgi_application()

from accounts.checks import refuse_unsafe_start  # noqa: E402  # needs the applications above

refuse_unsafe_start()
