#!/usr/bin/env python3
"""Makes the goldens of the chat templates: what jinja2 renders, set up by `transformers` itself.

    python make.py                      writes snippets.json and templates.json beside this file
    python make.py FOLDER FILE          renders every *.jinja of the folder to the file instead

Made with jinja2 3.1.6, transformers 5 and Python 3.11. An error is kept as its kind ("raised" for
raise_exception, "error" for anything else) and its message.
"""

import copy
import datetime
import json
import pathlib
import sys

import jinja2
from transformers.utils import chat_template_utils as hf

import conversations
import snippets

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 7, 4, 9, 5, 3)


def strftime_now(form):
    return NOW.strftime(form)


def render(source, variables):
    try:
        template = hf._compile_jinja_template(source)
        # Its own clock is the machine's.
        template.environment.globals["strftime_now"] = strftime_now
        template.globals["strftime_now"] = strftime_now
        # The filter `indent` adds to a list in place.
        return {"output": template.render(**copy.deepcopy(variables))}
    except jinja2.TemplateError as error:
        raised = type(error) is jinja2.TemplateError
        return {"error": "raised" if raised else "error", "message": str(error)}
    except Exception as error:  # jinja2 lets errors of Python through.
        return {"error": "error", "message": str(error)}


def chat_variables(request):
    messages = hf._alias_reasoning_fields(hf._normalize_chat_messages(request["messages"]))
    return {
        "messages": messages,
        "tools": request.get("tools"),
        "documents": None,
        "add_generation_prompt": request.get("add_generation_prompt", True),
        "bos_token": "<s>",
        "eos_token": "</s>",
        **request.get("chat_template_kwargs", {}),
    }


def chats(templates):
    rendered = []
    for name, source in templates.items():
        for chat, request in conversations.REQUESTS.items():
            rendered.append({"template": name, "chat": chat} | render(source, chat_variables(request)))
    return rendered


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def main():
    if len(sys.argv) == 3:
        paths = sorted(pathlib.Path(sys.argv[1]).glob("*.jinja"))
        templates = {path.stem: path.read_text(encoding="utf-8") for path in paths}
        write(
            pathlib.Path(sys.argv[2]),
            {"sources": templates, "requests": conversations.REQUESTS, "renders": chats(templates)},
        )
        return
    variables = snippets.VARIABLES | {
        "messages": [],
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    results = []
    for group, templates in snippets.SNIPPETS.items():
        for source in templates:
            results.append({"group": group, "template": source} | render(source, variables))
    write(HERE / "snippets.json", {"variables": snippets.VARIABLES, "snippets": results})
    paths = sorted((HERE / "Templates").glob("*.jinja"))
    templates = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    write(
        HERE / "templates.json",
        {"requests": conversations.REQUESTS, "renders": chats(templates)},
    )


main()
