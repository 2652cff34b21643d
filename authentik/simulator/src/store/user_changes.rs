//! Changes of users, and the events that authentik makes of them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::event::{self, SIGNAL_APP};
use super::session::Session;
use super::user::{Role, User, UserType};
use super::{Row, Tx};
use crate::clock;
use crate::json::{Json, object};

/// What Django shows instead of a secret.
const MASKED: &str = "********************";

/// A user to be made.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The unique login name.
    pub username: String,
    /// The display name.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// Whether the user starts deactivated.
    pub is_inactive: bool,
    /// People or machines.
    pub kind: UserType,
    /// The folder.
    pub path: String,
    /// Free data; an object.
    pub attributes: Json,
    /// Direct memberships.
    pub groups: BTreeSet<Uuid>,
    /// Directly assigned roles.
    pub roles: Vec<Role>,
    /// Without one the user cannot log in.
    pub password: Option<String>,
}

/// The fields of a user that change; the others stay.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// The login name.
    pub username: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The address.
    pub email: Option<String>,
    /// Activation.
    pub is_active: Option<bool>,
    /// People or machines.
    pub kind: Option<UserType>,
    /// The folder.
    pub path: Option<String>,
    /// Free data.
    pub attributes: Option<Json>,
    /// All direct memberships.
    pub groups: Option<BTreeSet<Uuid>>,
}

impl Tx<'_> {
    /// Makes a user without any event.
    fn insert_user(&mut self, new: NewUser) -> User {
        let now = self.now();
        let user = User {
            pk: self.next_pk(),
            uuid: clock::new_uuid(),
            username: new.username,
            name: new.name,
            email: new.email,
            is_active: !new.is_inactive,
            path: if new.path.is_empty() { "users".to_owned() } else { new.path },
            kind: new.kind,
            attributes: object_or_empty(new.attributes),
            groups: new.groups,
            roles: new.roles,
            password: new.password,
            date_joined: now,
            last_login: None,
            password_change_date: now,
            last_updated: now,
        };
        self.put(Row::User(user.clone()));
        user
    }

    /// `POST /core/users/`: the user is saved twice, so there are two events, and one more for groups.
    pub fn create_user(&mut self, new: NewUser) -> User {
        let mut user = self.insert_user(new);
        self.model_event("model_created", user.as_model());
        if !user.groups.is_empty() {
            self.model_event("model_updated", user.as_model());
        }
        self.save_user(&mut user);
        user
    }

    /// `PATCH /core/users/{pk}/`: one event for the save, also with equal values, and one for each of
    /// adding and removing groups. Neither names a field.
    pub fn update_user(&mut self, user: &mut User, patch: UserPatch) {
        let UserPatch { username, name, email, is_active, kind, path, attributes, groups } = patch;
        user.username = username.unwrap_or_else(|| user.username.clone());
        user.name = name.unwrap_or_else(|| user.name.clone());
        user.email = email.unwrap_or_else(|| user.email.clone());
        user.is_active = is_active.unwrap_or(user.is_active);
        user.kind = kind.unwrap_or(user.kind);
        user.path = path.unwrap_or_else(|| user.path.clone());
        if let Some(attributes) = attributes {
            user.attributes = object_or_empty(attributes);
        }
        self.save_user(user);
        if let Some(groups) = groups {
            self.set_groups(user, groups);
        }
    }

    fn save_user(&mut self, user: &mut User) {
        user.last_updated = self.now();
        self.put(Row::User(user.clone()));
        self.model_event("model_updated", user.as_model());
    }

    fn set_groups(&mut self, user: &mut User, groups: BTreeSet<Uuid>) {
        let n_changes =
            usize::from(!groups.is_subset(&user.groups)) + usize::from(!user.groups.is_subset(&groups));
        user.groups = groups;
        self.put(Row::User(user.clone()));
        for _ in 0..n_changes {
            self.model_event("model_updated", user.as_model());
        }
    }

    /// Deletes a user. What they did is forgotten with them, so who deletes themself does so unseen.
    pub fn delete_user(&mut self, user: &User) {
        self.model_event("model_deleted", user.as_model());
        self.put(Row::UserGone(user.pk));
        self.forget_events_of(user.pk);
    }

    /// `POST /core/users/{pk}/set_password/`: `password_set` is said of the target as the actor.
    pub fn set_password(&mut self, user: &mut User, password: String) {
        user.password = Some(password);
        user.password_change_date = self.now();
        self.event_of(user.as_actor(), "password_set", SIGNAL_APP, object([]));
        self.save_user(user);
    }

    /// What users do to themselves with the settings and password flows: `user_write` says with which
    /// values, in clear but for passwords.
    pub fn update_self(&mut self, user: &mut User, patch: UserPatch, password: Option<String>) {
        let mut written = vec![("created".to_owned(), false.into())];
        for (key, value) in [("name", &patch.name), ("email", &patch.email), ("username", &patch.username)] {
            if let Some(value) = value {
                written.push((key.to_owned(), value.as_str().into()));
            }
        }
        if let Some(password) = password {
            written.push(("password".to_owned(), MASKED.into()));
            written.push(("password_repeat".to_owned(), MASKED.into()));
            user.password = Some(password);
            user.password_change_date = self.now();
            self.event("password_set", SIGNAL_APP, object([]));
        }
        self.update_user(user, patch);
        self.event("user_write", SIGNAL_APP, Json::Object(written));
    }

    /// Self-registration: the new user is the actor, and a session follows.
    pub fn enroll(&mut self, new: NewUser) -> Session {
        let user = self.insert_user(new);
        let mut actor = user.as_actor();
        if let Json::Object(members) = &mut actor {
            members.push(("authenticated_as".to_owned(), event::anonymous()));
        }
        let model = object([("model", user.as_model())]);
        self.event_of(actor, "model_created", event::MODEL_APP, model);
        let written = object([
            ("name", user.name.as_str().into()),
            ("email", user.email.as_str().into()),
            ("created", true.into()),
            ("password", MASKED.into()),
            ("username", user.username.as_str().into()),
            ("password_repeat", MASKED.into()),
        ]);
        self.event_of(user.as_actor(), "user_write", SIGNAL_APP, written);
        self.log_in(user, false)
    }

    /// Makes a session. `last_updated` stays: authentik does not audit this save.
    pub fn log_in(&mut self, mut user: User, by_password: bool) -> Session {
        let now = self.now();
        let context = if by_password {
            let args = object([("known_device", true.into())]);
            object([("auth_method", "password".into()), ("auth_method_args", args)])
        } else {
            object([])
        };
        self.event_of(user.as_actor(), "login", SIGNAL_APP, context);
        user.last_login = Some(now);
        let session = Session { id: clock::new_token(40), user: user.pk, auth_time: now.unix(), by_password };
        self.put(Row::User(user));
        self.put(Row::Session(session.clone()));
        session
    }

    /// A failed login. For an unknown name the typed one stands in for the address too.
    pub fn refuse_login(&mut self, username: &str) {
        let stage = object([
            ("pk", "d356c036e7ad4de29ee98fb8b4dbca4b".into()),
            ("app", "authentik_stages_password".into()),
            ("name", "default-authentication-password".into()),
            ("model_name", "passwordstage".into()),
        ]);
        let context = object([("stage", stage), ("password", MASKED.into()), ("username", username.into())]);
        let actor = self.store().user_named(username).map_or_else(
            || {
                object([
                    ("pk", Json::Null),
                    ("email", username.into()),
                    ("username", username.into()),
                    ("authenticated_as", event::anonymous()),
                ])
            },
            User::as_actor,
        );
        self.event_of(actor, "login_failed", SIGNAL_APP, context);
    }

    /// Ends a session.
    pub fn log_out(&mut self, session: &Session) {
        if let Some(user) = self.store().users.get(&session.user).map(User::as_actor) {
            self.event_of(user, "logout", SIGNAL_APP, object([]));
        }
        self.put(Row::SessionGone(session.id.clone()));
    }
}

fn object_or_empty(value: Json) -> Json {
    if matches!(value, Json::Object(_)) { value.jsonb() } else { object([]) }
}
