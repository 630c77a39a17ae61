"""What holds connections open: a process of its own, so that whoever waits never takes a thread from a door.

It serves the streams alone; behind a proxy their paths lead here. It does not start where a wall is missing.
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accesscontrol.settings")
django.setup()

# These need the applications above.
from starlette.applications import Starlette  # noqa: E402

from accesscontrol.streams.feeds import Hub  # noqa: E402
from accesscontrol.streams.routes import ROUTES  # noqa: E402
from accounts.checks import refuse_unsafe_start  # noqa: E402

application = Starlette(routes=ROUTES)
application.state.hub = Hub()

refuse_unsafe_start()
