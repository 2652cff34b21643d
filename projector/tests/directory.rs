//! The directory against recorded answers of authentik.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use clap::Parser;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use projector::{AuthentikDirectory, Config, Directory, DirectoryError};
use runtime::CancellationToken;
use serde_json::Value;
use testkit::recordings;

fn config(url: &str) -> Config {
    let flags = [format!("--authentik-url={url}"), "--authentik-token=token".to_owned()];
    Config::parse_from(std::iter::once("projector".to_owned()).chain(flags))
}

/// A directory whose server answers every request with this recording.
async fn answering(recording: &str) -> AuthentikDirectory {
    let recording = recordings::json(&format!("rest/{recording}.json"));
    let status = StatusCode::from_u16(u16::try_from(recording["status"].as_u64().unwrap()).unwrap()).unwrap();
    let body = match (&recording["body"], &recording["body_text"]) {
        (Value::Null, text) => text.as_str().unwrap_or_default().to_owned(),
        (body, _) => body.to_string(),
    };
    let kind = recording["headers"]["content-type"].as_str().unwrap().to_owned();
    serving(status, kind, body).await
}

async fn serving(status: StatusCode, kind: String, body: String) -> AuthentikDirectory {
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", bound.address());
    let app = make_sync(move |_| {
        Response::builder().status(status).content_type(&kind).body(body.clone()).into_response()
    });
    tokio::spawn(bound.serve(app, CancellationToken::new()));
    AuthentikDirectory::new(&config(&url)).unwrap()
}

#[tokio::test]
async fn a_recorded_user_and_group_are_read() {
    let user = answering("user").await.user(8).await.unwrap().unwrap();
    assert_eq!(user.username, "grace");
    assert!(!answering("user_inactive").await.user(16).await.unwrap().unwrap().is_active);
    let uuid = user.uuid;
    let found = answering("user_without_groups_and_roles").await.user_with_uuid(uuid).await.unwrap();
    assert_eq!(found.unwrap().pk, 8);
    let named = answering("user_without_groups_and_roles").await.user_named("grace").await.unwrap();
    assert_eq!(named.unwrap().pk, 8);
    // authentik ignores an unknown filter and answers with all users.
    let other = answering("user_without_groups_and_roles").await.user_named("ada").await;
    assert_eq!(other, Ok(None));
    let group = answering("group_without_users").await.group(uuid).await.unwrap().unwrap();
    assert_eq!(group.members.into_iter().collect::<Vec<_>>(), [8]);
}

#[tokio::test]
async fn only_authentiks_own_message_means_that_a_user_or_group_was_deleted() {
    assert_eq!(answering("user_404").await.user(999_999).await, Ok(None));
    assert_eq!(answering("group_404").await.group(uuid::Uuid::nil()).await, Ok(None));
    for recording in ["unknown_route_404_html", "user_404_not_a_number", "users_page_past_end_404"] {
        let answer = answering(recording).await.user(8).await;
        assert!(matches!(answer, Err(DirectoryError::UnexpectedAnswer(_))), "{recording}: {answer:?}");
    }
}

#[tokio::test]
async fn a_refused_token_and_an_outage_are_different_errors() {
    for recording in ["no_token_403", "bad_token_403", "no_permission_403"] {
        let answer = answering(recording).await.user(8).await;
        let detail = recordings::json(&format!("rest/{recording}.json"))["body"]["detail"].clone();
        assert_eq!(answer, Err(DirectoryError::Forbidden(detail.as_str().unwrap().to_owned())));
    }
    let empty_405 = answering("server_error_on_post_405").await.user(8).await;
    assert!(matches!(empty_405, Err(DirectoryError::Unavailable(_))), "{empty_405:?}");
    for status in [StatusCode::BAD_GATEWAY, StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR]
    {
        let answer = serving(status, "text/html".into(), "<h1>unavailable</h1>".into()).await.user(8).await;
        assert!(matches!(answer, Err(DirectoryError::Unavailable(_))), "{answer:?}");
    }
    let no_server = AuthentikDirectory::new(&config("http://127.0.0.1:1")).unwrap().user(8).await;
    assert!(matches!(no_server, Err(DirectoryError::Unavailable(_))), "{no_server:?}");
}

#[tokio::test]
async fn an_answer_of_another_server_is_an_error() {
    let html = serving(StatusCode::OK, "text/html".into(), "<h1>Sign in</h1>".into()).await.user(8).await;
    assert!(matches!(html, Err(DirectoryError::UnexpectedAnswer(_))), "{html:?}");
    let other = serving(StatusCode::OK, "application/json".into(), r#"{"pk": 8}"#.into()).await.user(8).await;
    assert!(matches!(other, Err(DirectoryError::UnexpectedAnswer(_))), "{other:?}");
}
