"""Pages for people: Jinja templates, two style sheets, one script. Reading is all that most do; writes are forms that are posted.

A module here makes what one page shows as JSON-ready mappings, so every page has a twin at ``<page>.json``; ``routes`` has the table of
pages and renders them. A page works without JavaScript; with it, its parts (``data-part``) are asked for again when ``/events`` says
that something changed. ``ranges`` and ``figures`` are what several pages need. The API's views may be used here, not the other way.
"""

from headrace_controller.pages.routes import blueprint

__all__ = ["blueprint"]
