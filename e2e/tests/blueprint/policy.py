"""Imitates how authentik 2026.2 runs an expression policy of a prompt stage, without authentik itself.

Reads {"expression": "…", "taken": ["<email>", …], "emails": ["<email>", …]} from standard input, where `taken` are the addresses of
the users. Writes whether each of `emails` passes: [true, …].
"""

import json
import sys
import textwrap
import types

run = json.load(sys.stdin)
source = "def handler(request):\n" + textwrap.indent(run["expression"], "    ") + "\nresult = handler(request)"


def ak_user_by(*, email__iexact):
    taken = [email.lower() for email in run["taken"]]
    return types.SimpleNamespace(pk=1) if email__iexact.lower() in taken else None


def passes(email):
    request = types.SimpleNamespace(context={"prompt_data": {"email": email}})
    scope = {"request": request, "ak_user_by": ak_user_by, "ak_message": lambda text: None}
    exec(compile(source, "policy", "exec"), scope)
    return bool(scope["result"])


print(json.dumps([passes(email) for email in run["emails"]]))
