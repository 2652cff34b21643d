# Variables: notification (not saved), notification.event, user (the recipient of the notification, NOT the actor), request.
event = notification.event
context = (event.context if event else None) or {}
actor = (event.user if event else None) or {}
model = context.get("model") or {}

def when(value):
    return value.isoformat() if value else None

return {
    "schema": "authentik.event.v1",
    "event": {
        "id": str(event.pk),
        "action": event.action,
        "app": event.app,
        "created": when(event.created),
        "client_ip": event.client_ip,
        "actor": {
            "pk": actor.get("pk"),
            "username": actor.get("username"),
            "email": actor.get("email"),
            "is_anonymous": bool(actor.get("is_anonymous")),
            "on_behalf_of": actor.get("on_behalf_of"),
            "authenticated_as": actor.get("authenticated_as"),
        },
        "model": {
            "app": model.get("app"),
            "model_name": model.get("model_name"),
            "pk": model.get("pk"),
            "name": model.get("name"),
        } if model else None,
        "context": context,
        "brand": event.brand,
    } if event else None,
    "severity": notification.severity,
}
