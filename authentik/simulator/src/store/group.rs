//! Groups of users.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::user::Role;
use crate::json::{Json, object};

/// authentik's `Group`. Who is in it is kept with the users.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The key; with dashes in REST, without in events.
    pub pk: Uuid,
    /// The unique name: what tokens list.
    pub name: String,
    /// Makes members administrators.
    pub is_superuser: bool,
    /// The groups above this one.
    pub parents: Vec<Uuid>,
    /// Free data; an object.
    pub attributes: Json,
    /// Roles that members get.
    pub roles: Vec<Role>,
}

impl Group {
    /// A number made of the key: its first five decimal digits.
    pub fn num_pk(&self) -> i64 {
        let digits = self.pk.as_u128().to_string();
        digits.get(..5).unwrap_or(&digits).parse().unwrap_or_default()
    }

    /// The group as the model that an event is about.
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
    fn the_numeric_key_is_the_recorded_one() {
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
