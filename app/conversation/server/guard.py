"""Who may ask for what: the check that every request passes before any route sees it.

- The Host header names this server. A page elsewhere whose name suddenly resolves to this machine (DNS rebinding) still
  sends its own name.
- What changes something comes from a page of this server or from no page at all: browsers say so in Origin and
  Sec-Fetch-Site, and no CORS header ever allows another.
- With a token, every request but that for the login page has it, in a header or in the cookie that logging in sets.
- Every answer forbids sniffing, framing, storing and loading anything from elsewhere.
"""

import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse

OPEN = ("/login", "/page.css", "/report.css")  # what is served without a token
_SAFE = ("GET", "HEAD")
_OWN_SITE = ("same-origin", "none")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would say that the login page's form has no origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Guard:
    """ASGI middleware.

    Args:
        host, port: where the server listens.
        token: the secret, or None.
    """

    def __init__(self, app, host, port, token):
        self.app, self.host, self.port, self.token = app, host.strip("[]"), port, token
        self.cookie, self.session = f"session_{port}", secrets.token_urlsafe(32)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None  # no websockets here

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", POLICY)
            await send(message)

        scope["guard"] = self
        refusal = self.refusal(scope["method"], scope["path"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, send_with_headers)

    def refusal(self, method, path, headers):
        """The answer to a request that goes no further, or None."""
        host = headers.get("host", "")
        if not self.is_own(host):
            return error(421, "this server does not have that name; open it by the address that it printed")
        if method not in _SAFE:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site")
            if (origin is not None and urlsplit(origin).netloc.lower() != host.lower()) or (
                site is not None and site not in _OWN_SITE
            ):
                return error(403, "refused: sent by a page of another site")
        if self.token is None or path in OPEN or self.is_known(headers):
            return None
        if method in _SAFE and "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        answer = error(401, "needs the token, as `Authorization: Bearer TOKEN`, or a browser that logged in at /login")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def is_own(self, host):
        """Whether a Host header names this server."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if port != self.port or parts.username is not None or parts.path:
            return False
        if name in ("localhost", "127.0.0.1", "::1", self.host.lower()):
            return True
        try:  # of all addresses, any is its own; a foreign page has a name
            return ipaddress.ip_address(self.host).is_unspecified and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def is_known(self, headers):
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(value.strip()):
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and _same(found.value, self.session)

    def is_token(self, text):
        return self.token is not None and _same(text, self.token)


def error(status, message, **headers):
    """An answer `{"error": message}`."""
    return JSONResponse({"error": message}, status, headers=headers)


def _same(one, other):
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())
