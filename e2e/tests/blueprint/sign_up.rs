//! Self-registration is a blueprint of its own and changes nothing else.

use serde_json::{Value, json};

use crate::blueprint::{Blueprint, tagged};
use crate::python;

#[test]
fn the_main_blueprint_opens_no_sign_up() {
    let text = include_str!("../../../authentik/blueprints/authentik-events.yaml");
    for word in ["enrollment", "sign-up", "authentik_stages_"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn no_blueprint_changes_the_login_page_of_the_organisation() {
    for blueprint in [Blueprint::read(), Blueprint::sign_up()] {
        assert!(blueprint.all("authentik_stages_identification.identificationstage").is_empty());
        assert!(blueprint.all("authentik_brands.brand").is_empty());
    }
}

#[test]
fn a_sign_up_demands_a_long_password_that_is_hard_to_guess() {
    let blueprint = Blueprint::sign_up();
    let policy = blueprint.one("authentik_policies_password.passwordpolicy");
    assert!(policy["attrs"]["length_min"].as_u64().unwrap() >= 12);
    assert_eq!(policy["attrs"]["check_zxcvbn"], true);
    let stage = &blueprint.one("authentik_stages_prompt.promptstage")["attrs"];
    let bound = stage["validation_policies"].as_sequence().unwrap();
    let bound: Vec<_> = bound.iter().map(|id| tagged(id, "KeyOf")).collect();
    let email = &blueprint.one("authentik_policies_expression.expressionpolicy")["id"];
    assert_eq!(bound, [&policy["id"], email]);
    let prompts = blueprint.all("authentik_stages_prompt.prompt");
    let checked = prompts.iter().find(|prompt| {
        prompt["attrs"]["field_key"] == policy["attrs"]["password_field"]
            && prompt["attrs"]["type"] == "password"
    });
    assert!(checked.is_some(), "the policy checks the password prompt");
}

#[test]
fn a_sign_up_refuses_the_address_of_another_user() {
    let blueprint = Blueprint::sign_up();
    let policy = blueprint.one("authentik_policies_expression.expressionpolicy");
    let run = json!({
        "expression": policy["attrs"]["expression"].as_str().unwrap(),
        "taken": ["admin@example.com"],
        "emails": ["new@example.com", "admin@example.com", "ADMIN@example.com"],
    });
    let passes: Value = python::run("policy.py", &run, "");
    assert_eq!(passes, json!([true, false, false]));
}
