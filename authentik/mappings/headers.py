# Standard Webhooks: v1,base64(hmac_sha256(secret, "<id>.<timestamp>.<body>")).
# authentik does not pass the body to this mapping. So run the body mapping again and serialise
# its result exactly as requests does: same module, default separators, ASCII escapes.
import base64
import hashlib
import hmac
import os
import time

from requests.compat import json

from authentik.events.models import NotificationWebhookMapping
from authentik.events.utils import sanitize_item

body_mapping = NotificationWebhookMapping.objects.get(name="authentik-events body")
payload = sanitize_item(
    body_mapping.evaluate(user=user, request=None, notification=notification)
)
body = json.dumps(payload, allow_nan=False).encode("utf-8")
key = base64.b64decode(os.environ["EVENTS_WEBHOOK_SECRET"].removeprefix("whsec_"))
event = notification.event
message_id = str(event.pk if event else notification.pk)
timestamp = str(int(time.time()))
signed = f"{message_id}.{timestamp}.".encode() + body
signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
return {
    "webhook-id": message_id,
    "webhook-timestamp": timestamp,
    "webhook-signature": "v1," + signature,
}
