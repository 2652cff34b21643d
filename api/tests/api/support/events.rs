//! Events of fictitious users and groups.

use domain::event::payload::{
    ErasedUser, GroupCreated, GroupRef, Trigger, UserDeactivated, UserDeleted, UserErased, UserJoinedGroup,
    UserLeftGroup, UserLoggedIn, UserReactivated, UserRegistered,
};
use domain::event::{Channel, Event, EventBody};
use domain::key::{Entity, GroupId, UserPk};
use domain::snapshot::{Group, User};
use uuid::Uuid;

/// The uuid of the user with this primary key.
pub fn uuid(pk: UserPk) -> Uuid {
    Uuid::from_u128(0x5000_0000_0000_4000_8000_0000_0000_0000 + u128::from(pk.unsigned_abs()))
}

pub fn group_id(n: u128) -> GroupId {
    Uuid::from_u128(0x6000_0000_0000_4000_8000_0000_0000_0000 + n)
}

pub fn user(pk: UserPk, username: &str) -> User {
    User {
        uuid: uuid(pk),
        uid: format!("{pk:064x}"),
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        is_active: true,
        kind: "internal".to_owned(),
        path: "users".to_owned(),
        ..User::partial(pk, format!("Name of {username}"))
    }
}

pub fn in_group(mut user: User, n: u128, name: &str) -> User {
    user.groups.insert(group_id(n));
    user.group_names.insert(group_id(n), name.to_owned());
    user
}

pub fn registered(user: User) -> EventBody {
    EventBody::UserRegistered(UserRegistered { user, partial: false, trigger: Trigger::default() })
}

pub fn logged_in(user: User) -> EventBody {
    let trigger = Trigger::default();
    EventBody::UserLoggedIn(UserLoggedIn { user, client_ip: None, auth_method: None, trigger })
}

pub fn deactivated(user: User) -> EventBody {
    let user = User { is_active: false, ..user };
    EventBody::UserDeactivated(UserDeactivated { user, trigger: Trigger::default() })
}

pub fn reactivated(user: User) -> EventBody {
    EventBody::UserReactivated(UserReactivated { user, trigger: Trigger::default() })
}

pub fn deleted(user: User) -> EventBody {
    EventBody::UserDeleted(UserDeleted { user, trigger: Trigger::default() })
}

pub fn erased(pk: UserPk) -> EventBody {
    EventBody::UserErased(UserErased { user: ErasedUser { pk }, trigger: Trigger::default() })
}

pub fn joined(user: User, n: u128, name: &str) -> EventBody {
    let group = GroupRef { uuid: group_id(n), name: name.to_owned() };
    let user = in_group(user, n, name);
    EventBody::UserJoinedGroup(UserJoinedGroup { user, group, trigger: Trigger::default() })
}

pub fn left(user: User, n: u128, name: &str) -> EventBody {
    let group = GroupRef { uuid: group_id(n), name: name.to_owned() };
    EventBody::UserLeftGroup(UserLeftGroup { user, group, trigger: Trigger::default() })
}

pub fn group_created(n: u128, name: &str) -> EventBody {
    let group = Group {
        uuid: group_id(n),
        name: name.to_owned(),
        is_superuser: false,
        parents: [].into(),
        n_members: 0,
    };
    EventBody::GroupCreated(GroupCreated { group, trigger: Trigger::default() })
}

pub fn entity(body: &EventBody) -> Entity {
    use domain::event::StateAfter;
    match body.after() {
        StateAfter::User(user) | StateAfter::UserGone(user) => Entity::User(user.pk),
        StateAfter::Group(group) | StateAfter::GroupGone(group) => Entity::Group(group.uuid),
        StateAfter::UserErased => match body {
            EventBody::UserErased(data) => Entity::User(data.user.pk),
            other => panic!("{other:?} erases no user"),
        },
    }
}

pub fn event(entity: Entity, position: u64, index: usize, body: EventBody) -> Event {
    Event {
        id: format!("{}-{position}.{index}", entity.id_prefix()),
        source: "https://auth.example.com".to_owned(),
        subject: entity,
        time: "2026-11-22T08:52:53.234649Z".parse().unwrap(),
        approximate: false,
        dataschema: domain::event::schema_url("https://events.example.com", body.event_type()),
        causationid: Uuid::from_u128(7).into(),
        correlationid: None,
        channel: Channel::Webhook,
        body,
    }
}
