"""All settings in one file, read from the environment. A default stands only where it is safe in production.

`<data>/gatehouse.env` is read where it exists (the embedded servers write it); the environment goes before it.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
import environ
from csp.constants import NONCE, NONE, SELF
from django.templatetags.static import static
from django.urls import reverse_lazy

from accounts.rights import SCOPE_WORDS

# Lets annotations name the type in Django's generic classes, such as ModelForm[Person].
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("GATEHOUSE_DATA", BASE_DIR / "var")).resolve()

env = environ.Env()
environ.Env.read_env(str(DATA_DIR / "gatehouse.env"), overwrite=False)

SECRET_KEY = env.str("SECRET_KEY", default="")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
_public = urlsplit(PUBLIC_URL)
_https = _public.scheme == "https"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[_public.hostname or "127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_URL])

# PINs are sealed under keys that stay outside the database.
PIN_KEYS = env.str("PIN_KEYS", default="")
PIN_KEYS_FILE = env.str("PIN_KEYS_FILE", default="")

INSTALLED_APPS = [
    # Unfold's default configuration would put its own site in the place of ours.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "accounts.apps.GatehouseAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "csp",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts.apps.AccountsConfig",
    "pins.vault",
    "pins.throttle",
    "pins.deliveries",
    "pins.codes",
    "pins.signin",
    "pins.signin.staff",
    "accesscontrol.doors",
    "accesscontrol.people",
    "accesscontrol.credentials",
    "accesscontrol.reservations",
    "accesscontrol.visits",
    "accesscontrol.access",
    "accesscontrol.webhooks",
    "accesscontrol.overview",
    "accesscontrol.desk.apps.DeskConfig",
    "accesscontrol.management.apps.ManagementConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.callers.CallerMiddleware",
    "pins.signin.staff.locking.LockMiddleware",
    "pins.signin.staff.stepping_up.StepUpMiddleware",
]

ROOT_URLCONF = "accesscontrol.urls"
WSGI_APPLICATION = "accesscontrol.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]

# The application's own, plain role. Migrations connect as the owner of the tables (the `migrate` command).
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgres:///gatehouse")}
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    # A transaction-pooling proxy may stand in between.
    "DISABLE_SERVER_SIDE_CURSORS": True,
}
DATABASE_OWNER_URL = env.str("DATABASE_OWNER_URL", default="")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
# Celery names a socket differently from the Redis client.
_redis = urlsplit(REDIS_URL)
CELERY_BROKER_URL = (
    f"redis+socket://{_redis.path}?virtual_host={_redis.query.partition('db=')[2] or '0'}"
    if _redis.scheme == "unix"
    else REDIS_URL
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# Workers and the beat wait for a broker that is down for as long as it takes.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "visibility_timeout": 300,
}
# Requests do not wait for a broker at all, and their nudges only this long; see `pins.deliveries.nudge`.
TASK_APP = "accesscontrol.celery.app"
BROKER_TIMEOUT_SECONDS = 0.2

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    # NIST SP 800-63B-4: 15 characters where the password stands alone, 8 beside a second factor.
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = reverse_lazy("staff:sign_in")
LOGIN_REDIRECT_URL = reverse_lazy("staff:start")
LOGOUT_REDIRECT_URL = reverse_lazy("staff:sign_in")
PASSWORD_RESET_TIMEOUT = 3600
OTP_TOTP_ISSUER = "Gatehouse"
# Each person's stay in their own session: a shared desk must not show one person's to the next.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

OAUTH2_PROVIDER_APPLICATION_MODEL = "accounts.OAuthApplication"
OAUTH2_PROVIDER_GRANT_MODEL = "accounts.OAuthGrant"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "accounts.OAuthAccessToken"
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "accounts.OAuthRefreshToken"
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "accounts.OAuthIDToken"
OAUTH2_PROVIDER_DEVICE_GRANT_MODEL = "accounts.OAuthDeviceGrant"
# With every model swapped for a tenant's own there is nothing left for the library's migrations to make.
MIGRATION_MODULES = {"oauth2_provider": None}
OAUTH2_PROVIDER = {
    "SCOPES": SCOPE_WORDS,
    # Whoever asks for nothing gets nothing.
    "DEFAULT_SCOPES": [],
    "OAUTH2_VALIDATOR_CLASS": "accounts.grants.Grants",
    "OAUTH2_BACKEND_CLASS": "accounts.grants.Answers",
    "ACCESS_TOKEN_GENERATOR": "accounts.grants.access_token",
    "REFRESH_TOKEN_GENERATOR": "accounts.grants.refresh_token",
    "OIDC_ISS_ENDPOINT": PUBLIC_URL,
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 600,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    # A refresh token that nobody has used for half a year is dead.
    "REFRESH_TOKEN_EXPIRE_SECONDS": 180 * 24 * 3600,
    "PKCE_REQUIRED": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.answers.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.answers.HasRight"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.answers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "accounts.documenting.Operation",
    "EXCEPTION_HANDLER": "accounts.answers.answer_error",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "iso-8601",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Gatehouse API",
    "DESCRIPTION": "People, credentials, reservations, doors and events of one tenant. What holds a connection open is "
    "answered by the stream process: those operations name it as their server.",
    "VERSION": "3",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "accounts.documenting.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "AdmissionStatus": ["pending", "admitted", "denied", "offline", "timeout"],
        "ChannelStatus": ["online", "offline"],
        "CommandKind": "accesscontrol.access.models.ChannelCommand.Kind",
        "DoorState": "accesscontrol.doors.models.Channel.State",
        "PersonKind": "accesscontrol.people.models.Person.Kind",
    },
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("es", "Español"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "accesscontrol" / "locale"]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
# Files are served from where they are; whoever wants them collected for a proxy names a folder.
STATIC_ROOT = env.str("STATIC_ROOT", default=None)
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

EMAIL_CONFIG = env.email_url("EMAIL_URL", default=f"filemail:///{DATA_DIR / 'outbox'}")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default=f"gatehouse@{_public.hostname or 'localhost'}")
# Of each step; a message's steps together stay within the lease of `pins.deliveries.claiming`.
EMAIL_TIMEOUT = 10
# A provider that django-anymail speaks to, such as "postmark", in the place of EMAIL_URL. What it needs stands in the
# environment as anymail names it, such as ANYMAIL_POSTMARK_SERVER_TOKEN; with ANYMAIL_WEBHOOK_SECRET (user:password)
# it may report what bounced.
EMAIL_PROVIDER = env.str("EMAIL_PROVIDER", default="")
if EMAIL_PROVIDER:
    EMAIL_BACKEND = f"anymail.backends.{EMAIL_PROVIDER}.EmailBackend"
ANYMAIL: dict[str, object] = {
    **{name.removeprefix("ANYMAIL_"): value for name, value in os.environ.items() if name.startswith("ANYMAIL_")},
    "REQUESTS_TIMEOUT": EMAIL_TIMEOUT,
    # A provider that cannot carry what we add sends the message without it.
    "IGNORE_UNSUPPORTED_FEATURES": True,
    # Nobody watches who reads: links stay as they are, and no picture calls home.
    "SEND_DEFAULTS": {"track_clicks": False, "track_opens": False},
}
# Any Apprise address, such as twilio://…; {phone} in it stands for the receiver's number.
SMS_URL = env.str("SMS_URL", default="")

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
# Behind https everything is https; a loopback installation has no certificate to insist on.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = 31536000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
# A proxy writes X-Forwarded-Proto, and adds the address of whoever asks it to X-Forwarded-For.
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
# A list of 100,000 people has room in it.
UPLOAD_MAX_SIZE = 20_000_000
FILE_UPLOAD_HANDLERS = [
    "accounts.uploads.Bounded",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# After so many chosen PINs that were not available, choosing is refused for the rest of the hour.
CHOSEN_PIN_REFUSALS_PER_HOUR = env.int("CHOSEN_PIN_REFUSALS_PER_HOUR", default=50)
# One-time codes for other software, sent to one e-mail address or telephone in a day.
CODES_PER_ADDRESS_PER_DAY = env.int("CODES_PER_ADDRESS_PER_DAY", default=10)

# Events of all tenants are kept for so many whole months, then erased for good; 0 keeps them for ever.
# `migrate` tells the database, which drops nothing younger.
EVENTS_KEPT_MONTHS = max(0, env.int("EVENTS_KEPT_MONTHS", default=0))

# Networks beside the public internet that webhooks may be sent to, without https too: 10.1.0.0/16,127.0.0.1/32.
WEBHOOK_ALLOWED_NETWORKS = env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    # Warnings of 4xx answers name paths only, but nobody acts on them.
    "loggers": {
        "django.request": {"level": "ERROR"},
        "celery.app.trace": {"level": "WARNING"},
        # One line for each tick, every five seconds.
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        # At lower levels it writes whole addresses, in which some SMS gateways take the text.
        "urllib3": {"level": "ERROR"},
        # It tells of every request twice.
        "mcp": {"level": "WARNING"},
    },
}

UNFOLD = {
    "SITE_TITLE": "Gatehouse",
    "SITE_HEADER": "Gatehouse",
    "SITE_SUBHEADER": "accounts.admin_site.subheader",
    "SITE_SYMBOL": "door_front",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("admin_site/favicon.svg")}
    ],
    "STYLES": [
        lambda request, name=name: static(f"admin_site/{name}.css")
        for name in ("colours", "frame", "overview", "stories", "week", "bulk", "report")
    ],
    "ACCOUNT": {"navigation": [{"title": "My account", "link": reverse_lazy("staff:account")}]},
    "DASHBOARD_CALLBACK": "accesscontrol.overview.admin.overview",
    "SIDEBAR": {"navigation": "accesscontrol.overview.navigation.sidebar"},
}

SILENCED_SYSTEM_CHECKS = [
    # The proxy that holds the certificate redirects to https; SECURE_SSL_REDIRECT does it without one.
    "security.W008",
    # A place on the browsers' preload lists cannot be taken back; no product decides that for a domain.
    "security.W005",
    "security.W021",
]
