"""Refuse what other pages ask of the gallery, and bind its own page to a strict policy.

Sources: Fetch Metadata (W3C), for the question who asks; Content Security Policy Level 3 (W3C).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Of every answer."""


def refusal(request: Request) -> str:
    """Why a request is refused; empty where the gallery's own page, or a person, may ask so.

    A page of another origin, also of this machine, neither reads nor changes anything. What is no
    browser says of neither header anything, and then needs the token where there is one.
    """
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    reads = request.method in ("GET", "HEAD")
    if reads and request.url.path == "/":  # a link of any page may lead here
        return ""
    if site and site != "same-origin" and not (reads and site == "none"):
        return "Another page asks for this. Open the gallery itself."
    if origin and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        return "Another page asks for this. Open the gallery itself."
    if not reads and not (site or origin or "authorization" in request.headers):
        return "A change needs the header Sec-Fetch-Site or Origin of the page, or the token."
    return ""
