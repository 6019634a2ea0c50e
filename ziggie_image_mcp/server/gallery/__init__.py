"""The gallery: one page for people, at the root of the HTTP server.

`application` serves it, `origins` refuses what other pages ask, `sessions` knows who signed in;
`static/` is the page itself, plain HTML, CSS and JavaScript.
"""
