//! Changes of users, and the events that authentik makes for them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::event::{self, SIGNAL_APP};
use super::session::Session;
use super::state::Row;
use super::tx::Tx;
use super::user::{User, UserType};
use crate::clock;
use crate::json::{Json, object};

/// What Django shows instead of a secret.
const MASKED: &str = "********************";

/// The fields of a user that a change sets. A field with `None` keeps its value, or the default of a new user.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    pub username: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub is_active: Option<bool>,
    pub kind: Option<UserType>,
    pub path: Option<String>,
    pub attributes: Option<Json>,
    pub groups: Option<BTreeSet<Uuid>>,
}

impl UserPatch {
    /// Sets all given fields except the groups, whose change has events of its own.
    fn apply_to(self, user: &mut User) {
        user.username = self.username.unwrap_or_else(|| user.username.clone());
        user.name = self.name.unwrap_or_else(|| user.name.clone());
        user.email = self.email.unwrap_or_else(|| user.email.clone());
        user.is_active = self.is_active.unwrap_or(user.is_active);
        user.kind = self.kind.unwrap_or(user.kind);
        user.path = self.path.unwrap_or_else(|| user.path.clone());
        if let Some(attributes) = self.attributes {
            let is_object = matches!(attributes, Json::Object(_));
            user.attributes = if is_object { attributes.jsonb() } else { object([]) };
        }
    }
}

impl Tx<'_> {
    /// Creates a user without any event.
    fn insert_user(&mut self, mut patch: UserPatch) -> User {
        let now = self.now();
        patch.path = patch.path.filter(|path| !path.is_empty());
        let mut user = User {
            pk: self.next_pk(),
            uuid: clock::new_uuid(),
            username: String::new(),
            name: String::new(),
            email: String::new(),
            is_active: true,
            path: "users".to_owned(),
            kind: UserType::default(),
            attributes: object([]),
            groups: patch.groups.take().unwrap_or_default(),
            roles: vec![],
            password: None,
            date_joined: now,
            last_login: None,
            password_change_date: now,
            last_updated: now,
        };
        patch.apply_to(&mut user);
        self.put(Row::User(user.clone()));
        user
    }

    /// `POST /core/users/`: one event for the creation, one for groups, and one because authentik saves the
    /// user again.
    pub fn create_user(&mut self, patch: UserPatch) -> User {
        let mut user = self.insert_user(patch);
        self.model_event("model_created", user.as_model());
        if !user.groups.is_empty() {
            self.model_event("model_updated", user.as_model());
        }
        self.save_user(&mut user);
        user
    }

    /// `PATCH /core/users/{pk}/`: one event for the save, even with equal values, and one each for added and
    /// for removed groups. No event names a field.
    pub fn update_user(&mut self, user: &mut User, mut patch: UserPatch) {
        let groups = patch.groups.take();
        patch.apply_to(user);
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

    /// Deletes a user and all events whose actor they are. A user who deletes themself therefore leaves no
    /// event, not even the one about the deletion.
    pub fn delete_user(&mut self, user: &User) {
        self.model_event("model_deleted", user.as_model());
        self.put(Row::UserGone(user.pk));
        self.delete_events_of(user.pk);
    }

    /// `POST /core/users/{pk}/set_password/`: the actor of `password_set` is the target user.
    pub fn set_password(&mut self, user: &mut User, password: String) {
        user.password = Some(password);
        user.password_change_date = self.now();
        self.event_of(user.as_actor(), "password_set", SIGNAL_APP, object([]));
        self.save_user(user);
    }

    /// Self-registration: the new user is the actor of the events, and is logged in afterwards.
    pub fn enroll(&mut self, patch: UserPatch, password: String) -> Session {
        let mut user = self.insert_user(patch);
        user.password = Some(password);
        let mut actor = user.as_actor();
        if let Json::Object(members) = &mut actor {
            members.push(("authenticated_as".to_owned(), event::anonymous()));
        }
        let model = object([("model", user.as_model())]);
        self.event_of(actor, "model_created", event::MODEL_APP, model);
        let written_fields = object([
            ("name", user.name.as_str().into()),
            ("email", user.email.as_str().into()),
            ("created", true.into()),
            ("password", MASKED.into()),
            ("username", user.username.as_str().into()),
            ("password_repeat", MASKED.into()),
        ]);
        self.event_of(user.as_actor(), "user_write", SIGNAL_APP, written_fields);
        self.log_in(user, false)
    }

    /// Starts a session. Keeps `last_updated`, because authentik does not audit this save.
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

    /// Records a failed login. For an unknown username, `email` repeats the typed name.
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
