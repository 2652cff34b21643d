//! A client of authentik's REST API and of the simulator's controls.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// An administrator of the simulator.
#[derive(Clone, Debug)]
pub struct Authentik {
    client: Client,
    url: String,
    token: String,
}

impl Authentik {
    /// A client for the authentik at `url`, with an administrator's token.
    pub fn new(url: String, token: String) -> Self {
        Self { client: Client::new(), url, token }
    }

    /// Base URL of authentik.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Repeats a request until authentik answers. An interrupted request may have taken effect.
    pub async fn request_until_answered(&self, method: Method, path: &str, body: &Value) -> Value {
        testkit::eventually(&format!("authentik answers {method} {path}"), || async {
            let request = self.client.request(method.clone(), format!("{}{path}", self.url));
            let answer = request.bearer_auth(&self.token).json(body).send().await.ok()?;
            // An error without JSON counts as done: the object is gone, or an earlier attempt took effect.
            answer.json().await.ok().or(Some(Value::Null))
        })
        .await
    }

    /// The simulator's state: users, groups and deliveries.
    pub async fn state(&self) -> Value {
        self.request(Method::GET, "/_control/state", None).await
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method.clone(), &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let status = answer.status();
        let text = answer.text().await.expect("an answer has a body");
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Creates a user; returns their primary key.
    pub async fn create_user(&self, username: &str) -> i64 {
        let body =
            json!({"username": username, "name": username, "email": format!("{username}@example.com")});
        let user = self.request(Method::POST, "/api/v3/core/users/", Some(body)).await;
        user["pk"].as_i64().expect("a user has a primary key")
    }

    /// Changes fields of a user.
    pub async fn update_user(&self, pk: i64, fields: Value) {
        self.request(Method::PATCH, &format!("/api/v3/core/users/{pk}/"), Some(fields)).await;
    }

    /// Deletes a user.
    pub async fn delete_user(&self, pk: i64) {
        self.request(Method::DELETE, &format!("/api/v3/core/users/{pk}/"), None).await;
    }

    /// A user as the REST API returns them; `None` for a 404.
    pub async fn find_user(&self, pk: i64) -> Option<Value> {
        let url = format!("{}/api/v3/core/users/{pk}/", self.url);
        let answer = self.client.get(url).bearer_auth(&self.token).send().await.expect("authentik answers");
        if answer.status().as_u16() == 404 {
            None
        } else {
            Some(answer.json().await.expect("a user is JSON"))
        }
    }

    /// Creates a group; returns its primary key.
    pub async fn create_group(&self, name: &str) -> String {
        let group = self.request(Method::POST, "/api/v3/core/groups/", Some(json!({"name": name}))).await;
        group["pk"].as_str().expect("a group has a primary key").to_owned()
    }

    /// Adds a user to a group.
    pub async fn add_to_group(&self, group: &str, pk: i64) {
        self.request(
            Method::POST,
            &format!("/api/v3/core/groups/{group}/add_user/"),
            Some(json!({"pk": pk})),
        )
        .await;
    }

    /// Removes a user from a group.
    pub async fn remove_from_group(&self, group: &str, pk: i64) {
        self.request(
            Method::POST,
            &format!("/api/v3/core/groups/{group}/remove_user/"),
            Some(json!({"pk": pk})),
        )
        .await;
    }

    /// Deletes a group.
    pub async fn delete_group(&self, group: &str) {
        self.request(Method::DELETE, &format!("/api/v3/core/groups/{group}/"), None).await;
    }

    /// Sets a user's password.
    pub async fn set_password(&self, pk: i64) {
        let path = format!("/api/v3/core/users/{pk}/set_password/");
        self.request(Method::POST, &path, Some(json!({"password": "correct horse battery staple"}))).await;
    }

    /// Emits the event of a user's sign-in.
    pub async fn sign_in(&self, pk: i64) {
        let event = json!({"action": "login", "user_pk": pk});
        self.request(Method::POST, "/_control/emit", Some(event)).await;
    }

    /// Changes something without an event, as a directory sync does.
    pub async fn change_without_event(&self, change: Value) {
        self.request(Method::POST, "/_control/silent", Some(change)).await;
    }

    /// An access token of a user, as a sign-in issues it.
    pub async fn token(&self, username: &str) -> String {
        let tokens = self.request(Method::POST, "/_control/token", Some(json!({"username": username}))).await;
        tokens["access_token"].as_str().expect("a token").to_owned()
    }

    /// Submits a form of a flow, as a browser with this IP address does.
    pub async fn flow(&self, flow: &str, fields: &[(&str, &str)], client_ip: &str) {
        let url = format!("{}/if/flow/{flow}/?next=/", self.url);
        let mut form = reqwest::Url::parse("http://form/").expect("a URL");
        form.query_pairs_mut().extend_pairs(fields);
        let request = self.client.post(url).header("X-Forwarded-For", client_ip);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let body = form.query().unwrap_or_default().to_owned();
        request.body(body).send().await.expect("authentik answers the form");
    }

    /// Emits an event of a user with this context.
    pub async fn emit(&self, action: &str, pk: i64, context: Value) {
        let event = json!({"action": action, "user_pk": pk, "context": context});
        self.request(Method::POST, "/_control/emit", Some(event)).await;
    }

    /// Sets the simulator's faults.
    pub async fn faults(&self, faults: Value) {
        self.request(Method::POST, "/_control/faults", Some(faults)).await;
    }

    /// All events of one action in authentik's event log.
    pub async fn events(&self, action: &str) -> Vec<Value> {
        let mut events = vec![];
        let mut number = 1;
        while number > 0 {
            let path = format!("/api/v3/events/events/?actions={action}&page_size=100&page={number}");
            let mut page = self.request(Method::GET, &path, None).await;
            number = page["pagination"]["next"].as_u64().expect("a page has the number of the next page");
            if let Value::Array(results) = page["results"].take() {
                events.extend(results);
            }
        }
        events
    }

    /// Number of webhooks that authentik gave up.
    pub async fn n_given_up(&self) -> u64 {
        let state = self.state().await;
        state["deliveries"]["rejected"].as_u64().expect("a number of deliveries")
    }

    /// Waits until every webhook is delivered or given up.
    pub async fn finish_deliveries(&self) {
        self.finish_deliveries_within(testkit::wait::DEADLINE).await;
    }

    /// [`Authentik::finish_deliveries`] with another deadline.
    pub async fn finish_deliveries_within(&self, deadline: Duration) {
        testkit::wait::eventually_within(deadline, "every webhook is delivered or given up", || async {
            (self.state().await["deliveries"]["pending"] == 0).then_some(())
        })
        .await;
    }
}
