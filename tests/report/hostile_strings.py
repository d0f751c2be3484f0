"""Strings that have broken pages, logs and terminals, and five hundred variants of them."""

from __future__ import annotations

import itertools

SCRIPTS = (
    "<script>document.title='run'</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src='javascript:alert(1)'></iframe>",
    '<a href="javascript:alert(1)">x</a>',
    "<style>@import 'http://example.com/x.css';</style>",
    "<link rel=stylesheet href=//example.com/x.css>",
    "<base href='http://example.com/'>",
    "<meta http-equiv=refresh content='0;url=http://example.com'>",
    "<form action=http://example.com><input autofocus onfocus=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<object data='data:text/html,x'></object>",
    "<![CDATA[ x ]]>",
    "<!-- x",
    "--><b>",
    "<?php x ?>",
    "{{ 7 * 7 }}{% raw %}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "[bold red]x[/] [link=http://example.com]y[/link]",
    "%s %(x)s {0} {x!r}",
)
OPENINGS = (
    "", "</style>", "</title>", "</script>", '"', "'", '">', "'>", "</text></svg>", "</bdi></details>", "\\", "`", "&quot;>", "&#60;",
    "-->", "]]>",
)  # fmt: skip
SIGNS = (
    "\0", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\r", "\r\n", "\n\n", "\t", "\x7f", "\x9b31m", "\u2028", "\u2029",
    "\u202eesrever\u202c", "\u2066isolate", "\u200b", "\ufeff", "\ufffe", "ȩ̴́", "\U0001f469\u200d\U0001f4bb", "🇨🇭", "عربي",
    "漢字", "\ud800", "&amp;amp;", "&lt;script&gt;", "&#x202e;", "&NotEqualTilde;", "A" * 3000, "</", "<", ">", "&", "<a",
    "ａ＜ｓｃｒｉｐｔ＞", "javascript:alert(1)", "http://example.com/a.png", "url(http://example.com)", "expression(alert(1))",
    "=cmd|' /C calc'!A0", "../../etc/passwd", "1e999", "NaN", "None", "true", "-0",
)  # fmt: skip

HOSTILE = tuple(
    dict.fromkeys(
        [
            *(opening + script for opening, script in itertools.product(OPENINGS, SCRIPTS)),
            *SIGNS,
            *(sign + "<b>" + opening for sign, opening in itertools.product(SIGNS[:12], OPENINGS[1:])),
            *(script.upper() for script in SCRIPTS[:14]),
        ]
    )
)
assert len(HOSTILE) >= 500
