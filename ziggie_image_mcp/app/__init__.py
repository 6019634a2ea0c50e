"""The use cases in the user's words, and the composition root.

`Service` has the use cases, `application.build_service` puts everything together.
"""
