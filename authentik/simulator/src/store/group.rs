//! Groups of users.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::user::Role;
use crate::json::{Json, object};

/// authentik's `Group`. Its members are stored with the users.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The key; with dashes in REST, without in events.
    pub pk: Uuid,
    /// The unique name, which tokens list.
    pub name: String,
    /// Whether the members are administrators.
    pub is_superuser: bool,
    /// The parent groups.
    pub parents: Vec<Uuid>,
    /// Custom attributes; a JSON object.
    pub attributes: Json,
    /// The roles of the members.
    pub roles: Vec<Role>,
}

impl Group {
    /// The numeric key: the first five decimal digits of the key.
    pub fn num_pk(&self) -> i64 {
        let digits = self.pk.as_u128().to_string();
        digits.get(..5).unwrap_or(&digits).parse().unwrap_or_default()
    }

    /// The group as the `context.model` of an event.
    pub fn as_model(&self) -> Json {
        object([
            ("pk", self.pk.simple().to_string().into()),
            ("app", "authentik_core".into()),
            ("name", self.name.as_str().into()),
            ("model_name", "group".into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numeric_key_equals_the_recorded_one() {
        let pk = "1ca5cc4b-c6b5-4128-838f-ca18ffa6d060".parse().unwrap();
        let navy = Group {
            pk,
            name: "navy".to_owned(),
            is_superuser: false,
            parents: vec![],
            attributes: object([]),
            roles: vec![],
        };
        assert_eq!(navy.num_pk(), 38_079);
    }
}
