import base64
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from accesscontrol.embedded.places import EmbeddedError


def load_secrets(data: Path) -> dict[str, str]:
    file, keys = data / "gatehouse.env", data / "pin-keys.json"
    if not file.exists():
        if os.path.lexists(data / "postgres"):
            raise EmbeddedError(f"{file} is missing, and with it the passwords of the database beside it: restore it.")
        ring = {"keys": {"1": base64.b64encode(secrets.token_bytes(32)).decode()}, "current": 1}
        _write_once(keys, json.dumps(ring) + "\n")
        values = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "PIN_KEYS_FILE": str(keys),
            "EMBEDDED_PASSWORD_POSTGRES": secrets.token_urlsafe(32),
            "EMBEDDED_PASSWORD_GATEHOUSE_OWNER": secrets.token_urlsafe(32),
            "EMBEDDED_PASSWORD_GATEHOUSE": secrets.token_urlsafe(32),
        }
        _write_once(file, "".join(f"{name}={value}\n" for name, value in values.items()))
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines)
    if not keys.exists() and not Path(settings["PIN_KEYS_FILE"]).exists():
        raise EmbeddedError(f"{keys} is missing: without it no stored PIN can be read. Restore it.")
    return settings


def _write_once(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces what another process has put there meanwhile.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
