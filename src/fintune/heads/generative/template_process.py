"""The program that a chat template runs in: a process of its own, which imports Jinja and little else.

Reads one JSON object from standard input (`template`, `variables`, `date`, `chats`, `characters`) and writes one: `texts`, for each
chat its text or the reason why there is none, or `broken` or `unsafe` for all. Run by `fintune.heads.generative.template` alone.
"""

import datetime
import json
import sys
from collections.abc import Iterable
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
import jinja2.utils

MEMORY, SECONDS = 1 << 28, 2
"""Bytes of data and seconds of processor time that a template may use, where the system can hold it to them."""


class Generation(jinja2.ext.Extension):
    """`{% generation %}`, by which a template marks what the model writes; its body is written like any other."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        """The statements between the marks."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Namespace(jinja2.utils.Namespace):
    """Variables that outlive a loop; names with an underscore in front, which could reach into Python, are refused."""

    def __init__(self, /, **variables: Any) -> None:
        require_plain(variables)
        super().__init__(variables)

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a variable."""
        require_plain([name])
        super().__setitem__(name, value)


def require_plain(names: Iterable[str]) -> None:
    """Refuse names with an underscore in front."""
    for name in names:
        if name.startswith("_"):
            raise jinja2.sandbox.SecurityError(f"variable {name!r}")


def environment(date: str) -> jinja2.Environment:
    """The sandbox, with what chat templates may count on; the date is always the same."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    del made.globals["dict"], made.globals["lipsum"]
    made.globals |= {"namespace": Namespace, "raise_exception": refuse, "strftime_now": datetime.date.fromisoformat(date).strftime}
    made.filters["tojson"] = to_json
    return made


def refuse(message: str) -> None:
    """What a template calls where it does not take a conversation."""
    raise jinja2.TemplateError(message)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON without the escapes for HTML that Jinja's own filter writes."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def text(template: jinja2.Template, chat: dict[str, Any], variables: dict[str, Any], characters: int) -> dict[str, str]:
    """One conversation as the template writes it."""
    written, length = [], 0
    try:
        for part in template.generate(chat, tools=None, documents=None, **variables):
            length += len(part)
            if length > characters:
                return {"unsafe": f"it writes more than {characters} characters"}
            written.append(part)
    except (jinja2.sandbox.SecurityError, MemoryError, OverflowError, RecursionError) as error:
        return {"unsafe": f"{type(error).__name__}: {error}".removesuffix(": ")}
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        return {"refused": str(error)}
    return {"text": "".join(written)}


def limit() -> None:
    """Hold this process to memory and processor time."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def main() -> None:
    """Read the task, render, and write the outcome."""
    task = json.load(sys.stdin)
    if sys.platform == "linux":
        limit()
    try:
        template = environment(task["date"]).from_string(task["template"])
    except jinja2.TemplateSyntaxError as error:
        json.dump({"broken": f"line {error.lineno}: {error}"}, sys.stdout)
        return
    except (RecursionError, MemoryError) as error:
        json.dump({"unsafe": f"reading it takes too much: {type(error).__name__}"}, sys.stdout)
        return
    json.dump({"texts": [text(template, chat, task["variables"], task["characters"]) for chat in task["chats"]]}, sys.stdout)


if __name__ == "__main__":
    main()
