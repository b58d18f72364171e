"""Static HTML tables: one self-contained page, for wide and narrow windows, in light and dark.

Values are escaped by jinja2; nothing is fetched.
"""

import jinja2
from markupsafe import Markup

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #5f6770; --line: #d5dae0; --paper: #ffffff;
  --stripe: #f5f7f9; --bar: #cfe3f1; --mark: #0072B2; --warn: #a33f00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --muted: #a2abb5; --line: #3a424b; --paper: #14181d;
  --stripe: #1b2027; --bar: #17415c; --mark: #6cc0f0; --warn: #f2a173; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1rem 1.25rem 2rem; background: var(--paper); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.15rem; margin: 0 0 .25rem; } p { margin: 0 0 .75rem; color: var(--muted); max-width: 48rem; }
h2 { font-size: 1rem; margin: 0; display: inline; }
details { margin-top: 1.25rem; } summary { cursor: pointer; margin-bottom: .5rem; }
.scroll { overflow-x: auto; max-width: 100%; border: 1px solid var(--line); border-radius: 6px; width: fit-content; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { font-weight: 600; color: var(--muted); vertical-align: bottom; background: var(--stripe); }
thead tr.groups th { text-align: center; border-bottom: 0; padding-bottom: 0; }
.first { text-align: left; position: sticky; left: 0; background: var(--paper); z-index: 1; font-weight: 500; }
thead .first { background: var(--stripe); } .text { text-align: left; }
.gap { border-left: 1px solid var(--line); }
.name { display: inline-block; max-width: 18rem; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
small { color: var(--muted); font-size: .8em; } .top { font-weight: 650; border-bottom: 2px solid var(--mark); }
.bar { background: linear-gradient(to right, var(--bar) var(--share), transparent var(--share)); }
.warn { color: var(--warn); }
@media (max-width: 600px) { body { padding: .75rem .6rem 1.5rem; font-size: 13px; } th, td { padding: .28rem .5rem; }
  .name { max-width: 7.5rem; } }
@media print { .scroll { overflow: visible; border: 0; } }
"""

_ENVIRONMENT = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
)
_PLAIN = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}{{ more_style }}</style>
</head>
<body>
<h1>{{ title }}</h1>
{{ body }}
</body>
</html>
"""


def fill(body: str, **values) -> Markup:
    """A part of a page: the jinja2 template `body`, filled in with `values`; values that are not Markup are escaped."""
    return Markup(_ENVIRONMENT.from_string(body).render(**values))


def plain(body: str, **values) -> str:
    """A text that is not HTML, such as Markdown; nothing is escaped."""
    return _PLAIN.from_string(body).render(**values) + "\n"


def wrap(title: str, body: Markup, more_style: str = "") -> str:
    """A whole page around what `fill` made."""
    page = _ENVIRONMENT.from_string(_PAGE)
    return page.render(title=title, style=Markup(STYLE), more_style=Markup(more_style), body=body)
