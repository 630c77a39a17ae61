#!/usr/bin/env python
import os
import sys

from accesscontrol import embedded


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accesscontrol.settings")
    try:
        with embedded.for_command(sys.argv):
            from django.core.management import execute_from_command_line

            execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
