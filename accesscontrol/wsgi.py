"""What granian serves. It does not start where a wall between tenants or a PIN key is missing."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accesscontrol.settings")

application = get_wsgi_application()

# These need the applications above. Celery is imported now, because the first message must not wait for it.
from accesscontrol import celery  # noqa: E402, F401
from accounts.checks import refuse_unsafe_start  # noqa: E402

refuse_unsafe_start()
