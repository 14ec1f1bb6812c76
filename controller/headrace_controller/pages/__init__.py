"""Pages for people: Jinja templates, one style sheet, one small script. They read use cases and change nothing.

``content`` makes what a page shows, as JSON-ready mappings, so every page has a twin at ``<page>.json``; ``routes`` renders it.
A page works without JavaScript; with it, it is drawn anew when ``/events`` says that something changed.
"""

from headrace_controller.pages.routes import blueprint

__all__ = ["blueprint"]
