"""What authentik 2026.2 sends by the two mappings, as far as this goes without authentik.

Reads {"body": <expression>, "headers": <expression>, "sent": ["<body>", …]} from standard input: bodies as they were sent
once. Makes the events again that they tell of, and writes what is sent for these: [{"headers": {…}, "body": "…"}, …]. In
a body, {"$uuid": "…"} and {"$time": "…"} stand for values of Python.
"""

import json
import sys
import textwrap
import types
from datetime import datetime
from uuid import UUID


def sanitize_item(value):
    """authentik.events.utils.sanitize_item, for what events and mappings hold."""
    if isinstance(value, dict):
        return {key: sanitize_item(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [sanitized for sanitized in map(sanitize_item, value) if sanitized]
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        # As Django's JSON encoder: milliseconds, and Z.
        text = value.isoformat()
        if value.microsecond:
            text = text[:23] + text[26:]
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
    return value


class Mapping:
    """A NotificationWebhookMapping: its expression is the body of a function."""

    def __init__(self, expression):
        self.expression = expression

    def evaluate(self, user, request, notification):
        source = "def handler(user,request,notification):\n" + textwrap.indent(self.expression, "    ")
        source += "\nresult = handler(user,request,notification)"
        scope = {"user": user, "request": request, "notification": notification}
        exec(compile(source, "mapping", "exec"), {}, scope)
        return scope["result"]


class Mappings:
    """NotificationWebhookMapping.objects."""

    def __init__(self, **by_name):
        self.by_name = by_name

    def get(self, name):
        return self.by_name[name]


def module(name, **contents):
    made = types.ModuleType(name)
    vars(made).update(contents)
    sys.modules[name] = made


def revive(value):
    if set(value) == {"$uuid"}:
        return UUID(value["$uuid"])
    if set(value) == {"$time"}:
        return datetime.fromisoformat(value["$time"])
    return value


def event_of(body):
    """The event that a body tells of."""
    told = json.loads(body, object_hook=revive)["event"]
    return types.SimpleNamespace(
        pk=UUID(told["id"]),
        action=told["action"],
        app=told["app"],
        created=datetime.fromisoformat(told["created"]),
        client_ip=told["client_ip"],
        # What the mapping fills in is not there.
        user={key: value for key, value in told["actor"].items() if value is not None and value is not False},
        context=told["context"],
        brand=told["brand"],
    )


def send(mappings, event):
    notification = types.SimpleNamespace(pk=UUID(int=7), event=event, severity="notice", body="")
    arguments = {"user": types.SimpleNamespace(username="authentik-events"), "request": None}
    evaluated = {
        part: sanitize_item(mapping.evaluate(**arguments, notification=notification))
        for part, mapping in mappings.items()
    }
    # What requests makes of `json=`.
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
