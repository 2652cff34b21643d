"""Imitates how authentik 2026.2 runs the two webhook mappings, without authentik itself.

Reads {"body": <expression>, "headers": <expression>, "sent": ["<body>", …]} from standard input, where `sent` are bodies of
earlier requests. Reconstructs their events and writes the requests for them: [{"headers": {…}, "body": "…"}, …]. In a body,
{"$uuid": "…"} and {"$time": "…"} stand for Python's UUID and datetime values.
"""

import json
import sys
import textwrap
import types
from datetime import datetime
from uuid import UUID


def sanitize_item(value):
    """authentik.events.utils.sanitize_item, for the types that occur in events and mappings."""
    if isinstance(value, dict):
        return {key: sanitize_item(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [sanitized for sanitized in map(sanitize_item, value) if sanitized]
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        # The format of Django's JSON encoder: milliseconds, and Z.
        text = value.isoformat()
        if value.microsecond:
            text = text[:23] + text[26:]
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
    return value


class Mapping:
    """Stands in for NotificationWebhookMapping: its expression is the body of a function."""

    def __init__(self, expression):
        self.expression = expression

    def evaluate(self, user, request, notification):
        source = "def handler(user,request,notification):\n" + textwrap.indent(self.expression, "    ")
        source += "\nresult = handler(user,request,notification)"
        scope = {"user": user, "request": request, "notification": notification}
        exec(compile(source, "mapping", "exec"), {}, scope)
        return scope["result"]


class Mappings:
    """Stands in for NotificationWebhookMapping.objects."""

    def __init__(self, **by_name):
        self.by_name = by_name

    def get(self, name):
        return self.by_name[name]


def module(name, **contents):
    new = types.ModuleType(name)
    vars(new).update(contents)
    sys.modules[name] = new


def revive(value):
    if set(value) == {"$uuid"}:
        return UUID(value["$uuid"])
    if set(value) == {"$time"}:
        return datetime.fromisoformat(value["$time"])
    return value


def event_of(body):
    """The event that a body describes."""
    described = json.loads(body, object_hook=revive)["event"]
    return types.SimpleNamespace(
        pk=UUID(described["id"]),
        action=described["action"],
        app=described["app"],
        created=datetime.fromisoformat(described["created"]),
        client_ip=described["client_ip"],
        # Leaves out the defaults that the mapping adds.
        user={key: value for key, value in described["actor"].items() if value is not None and value is not False},
        context=described["context"],
        brand=described["brand"],
    )


def send(mappings, event):
    notification = types.SimpleNamespace(pk=UUID(int=7), event=event, severity="notice", body="")
    arguments = {"user": types.SimpleNamespace(username="authentik-events"), "request": None}
    evaluated = {
        part: sanitize_item(mapping.evaluate(**arguments, notification=notification))
        for part, mapping in mappings.items()
    }
    # The same serialization as `requests` uses for `json=`.
    return {"headers": evaluated["headers"], "body": json.dumps(evaluated["body"], allow_nan=False)}


def main():
    given = json.load(sys.stdin)
    mappings = {part: Mapping(given[part]) for part in ("body", "headers")}
    objects = Mappings(**{"authentik-events body": mappings["body"]})
    module("authentik")
    module("authentik.events")
    module("authentik.events.models", NotificationWebhookMapping=types.SimpleNamespace(objects=objects))
    module("authentik.events.utils", sanitize_item=sanitize_item)
    module("requests")
    module("requests.compat", json=json)
    json.dump([send(mappings, event_of(body)) for body in given["sent"]], sys.stdout)


main()
