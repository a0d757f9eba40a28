"""Markdown as an HTML page that needs nothing else: its pictures are inside (no torch here)."""

import base64
import html
import mimetypes
import re
from pathlib import Path
from urllib.parse import unquote

STYLE = """\
body { font: 16px/1.6 "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; max-width: 960px;
  margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
h1, h2, h3 { line-height: 1.25; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px; display: block; overflow-x: auto; }
th, td { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; }
th { background: #f4f4f4; }
td strong { background: #dff2df; padding: 0 .2rem; }
img { max-width: 100%; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; }"""
PAGE = """\
<!doctype html>
<html lang="zh">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(markdown, title, folder):
    """A whole page; ``folder`` is what the pictures' paths are relative to."""
    return PAGE.format(title=html.escape(title), style=STYLE, body=body(markdown, folder))


def body(markdown, folder):
    """Markdown as HTML, each picture that lies in ``folder`` inside it; comments stay."""
    from nbconvert.filters import markdown2html  # here: it takes seconds, and not every command writes a page
    text = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", markdown2html(markdown))
    return re.sub(r'(<img\b[^>]*?\bsrc=")([^"]+)"', lambda found: f'{found[1]}{_inside(found[2], Path(folder))}"',
                  text)


def _inside(address, folder):
    """The picture as a data address; one that is not there, or lies in the internet, stays as it is."""
    if re.match(r"[a-zA-Z][\w+.-]+:", address):
        return address
    path = folder / unquote(html.unescape(address))
    if not path.is_file():
        return address
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
