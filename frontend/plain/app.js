// Signs in with authentik (OIDC code + PKCE) and shows the live feed.

const RECONNECT_MS = 2000;
const MAX_EVENTS = 500;

const element = (id) => document.getElementById(id);
const config = await (await fetch("/config.json")).json();
const redirectUri = new URL(config.redirect_uri_path, location.origin).href;

/** Endpoints of the provider, from its discovery document. */
async function endpoints() {
  const answer = await fetch(`${config.issuer}.well-known/openid-configuration`);
  if (!answer.ok) throw new Error(`authentik's discovery answered ${answer.status}`);
  return answer.json();
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** Sends the person to authentik: to sign in, or to sign up first. */
async function signIn({ isNew }) {
  const verifier = random();
  const state = random();
  sessionStorage.setItem("sign-in", JSON.stringify({ verifier, state }));
  const challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  const { authorization_endpoint } = await endpoints();
  const parameters = new URLSearchParams({
    response_type: "code",
    client_id: config.client_id,
    redirect_uri: redirectUri,
    scope: "openid profile email",
    state,
    code_challenge: challenge,
    code_challenge_method: "S256",
  });
  const authorize = new URL(`${authorization_endpoint}?${parameters}`);
  if (!isNew) return location.assign(authorize);
  // authentik goes on to addresses of its own alone.
  const next = encodeURIComponent(authorize.pathname + authorize.search);
  location.assign(`${config.enrollment_url}?next=${next}`);
}

/** Redeems the code that authentik sent us back with. */
async function finishSignIn() {
  const answer = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem("sign-in") ?? "null");
  sessionStorage.removeItem("sign-in");
  history.replaceState(null, "", "/");
  if (answer.get("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  if (!begun || answer.get("state") !== begun.state) throw new Error("This sign-in was not begun here. Sign in again.");
  const { token_endpoint } = await endpoints();
  const redeemed = await fetch(token_endpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      client_id: config.client_id,
      redirect_uri: redirectUri,
      code: answer.get("code") ?? "",
      code_verifier: begun.verifier,
    }),
  });
  const tokens = await redeemed.json();
  if (!redeemed.ok) throw new Error(tokens.error_description ?? "authentik refused the sign-in.");
  sessionStorage.setItem("token", tokens.access_token);
  sessionStorage.setItem("id-token", tokens.id_token ?? "");
}

async function signOut() {
  const idToken = sessionStorage.getItem("id-token") ?? "";
  sessionStorage.clear();
  const { end_session_endpoint } = await endpoints();
  const parameters = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: location.origin });
  location.assign(`${end_session_endpoint}?${parameters}`);
}

/** Calls the API; a refused token ends the session here too. */
async function call(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const answer = await fetch(path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } });
  if (answer.status === 401) {
    const problem = await answer.json().catch(() => ({}));
    endSession(problem.detail ?? "The session has ended. Sign in again.");
  }
  return answer;
}

function endSession(reason) {
  sessionStorage.removeItem("token");
  sessionStorage.removeItem("cursor");
  showProblem(reason);
  showSignedOut();
}

function showProblem(text) {
  element("problem").textContent = text;
  element("problem").hidden = !text;
}

function showSignedOut() {
  element("signed-in").hidden = true;
  element("sign-out").hidden = true;
  element("welcome").hidden = false;
  element("sign-in").hidden = false;
  element("who").textContent = "";
  element("sign-up").hidden = !config.enrollment_url;
}

async function showSignedIn() {
  element("signed-in").hidden = false;
  element("sign-out").hidden = false;
  const answer = await call("/api/me");
  if (answer.status === 200) {
    const me = await answer.json();
    element("who").textContent = me.user?.name || me.user?.username || `user ${me.pk}`;
  }
}

async function resync() {
  element("resync-result").textContent = "asking…";
  const answer = await call("/api/me/resync", { method: "POST" });
  element("resync-result").textContent =
    answer.status === 202 ? "Asked. A difference would appear below." : `Not accepted (${answer.status}).`;
}

function sentence(event) {
  const { user, group } = event.data;
  const who = user ? user.name || user.username || `user ${user.pk}` : `group ${group?.name}`;
  const what = event.type.replaceAll("-", " ").replace(/^(user|group) /, "");
  const where = user && group ? ` (${group.name || group.uuid})` : "";
  return `${who}: ${what}${where}`;
}

function showEvent(event) {
  element("empty").hidden = true;
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = document.createElement("time");
  time.dateTime = event.time;
  time.textContent = new Date(event.time).toLocaleTimeString();
  summary.append(time, ` ${sentence(event)}`);
  const raw = document.createElement("pre");
  raw.textContent = JSON.stringify(event, null, 2);
  details.append(summary, raw);
  item.append(details);
  item.dataset.type = event.type;
  const list = element("events");
  list.prepend(item);
  while (list.childElementCount > MAX_EVENTS) list.lastElementChild.remove();
}

/** Takes in one block of the event stream. Returns false where the stream says that it is over for good. */
function take(block) {
  const fields = { event: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = line.match(/^([^:]+): ?(.*)$/) ?? [];
    if (name) fields[name] = value;
  }
  if (fields.id) sessionStorage.setItem("cursor", fields.id);
  switch (fields.event) {
    case "token-expired":
      endSession("The session has ended. Sign in again.");
      return false;
    case "revoked":
      endSession("Your access was taken away.");
      return false;
    case "message":
    case "progress":
      return true;
    default:
      showEvent(JSON.parse(fields.data));
      return true;
  }
}

/** Reads the feed until it breaks. Returns false where it must not be asked for again. */
async function readFeed() {
  const cursor = sessionStorage.getItem("cursor");
  const headers = cursor ? { "Last-Event-ID": cursor } : {};
  const answer = await call(`/api/events/stream${cursor ? "" : "?after=earliest"}`, { headers });
  if (answer.status === 401) return false;
  if (answer.status === 410) {
    sessionStorage.removeItem("cursor");
    element("events").replaceChildren();
    return true;
  }
  if (!answer.ok) throw new Error(`The feed answered ${answer.status}.`);
  element("state").textContent = "live";
  showProblem("");
  let rest = "";
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      if (!take(block)) return false;
    }
  }
  return true;
}

async function follow() {
  for (;;) {
    try {
      if (!(await readFeed())) return;
    } catch {
      // The API restarts, or the network is away: the cursor says where to go on.
    }
    element("state").textContent = "reconnecting";
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

const onClick = (id, act) =>
  element(id).addEventListener("click", () => act().catch((error) => showProblem(error.message)));
onClick("sign-in", () => signIn({ isNew: false }));
onClick("sign-up", () => signIn({ isNew: true }));
onClick("sign-out", signOut);
onClick("resync", resync);

try {
  if (location.pathname === config.redirect_uri_path) await finishSignIn();
} catch (error) {
  showProblem(error.message);
}
// The list begins anew with each page: so does the feed.
sessionStorage.removeItem("cursor");
if (sessionStorage.getItem("token")) {
  await showSignedIn();
  await follow();
} else {
  showSignedOut();
}
