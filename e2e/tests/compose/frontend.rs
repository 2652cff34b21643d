//! The front end's container: nginx with the template of its image.

use e2e::nginx;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, StatusCode};
use tokio::process::Command;

use crate::file::root;
use crate::one_node;
use crate::running::Running;

/// Examples of the files that the build produces, one for each kind that nginx treats differently.
const FILES: [(&str, &str); 4] = [
    ("index.html", "<!doctype html><title>page</title>"),
    ("assets/app-1a2b3c.js", "console.log('app')"),
    ("assets/app-1a2b3c.css", "body {}"),
    ("favicon.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
];

/// Starts nginx for the front end, with the API at the address in the Compose file.
pub fn start(running: &mut Running) {
    let service = running.compose.service("frontend");
    let directory = running.directory().join("frontend");
    for (name, content) in FILES {
        let file = directory.join("srv").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    let mime_types = "types { text/html html; text/css css; text/javascript js; image/svg+xml svg; }";
    std::fs::write(directory.join("mime.types"), mime_types).unwrap();

    let template = std::fs::read_to_string(root().join("deploy/nginx/frontend.conf")).unwrap();
    let mut config =
        template.replace("listen 8080", &format!("listen {}", running.here(service, "0.0.0.0:8080")));
    let mut environment = running.environment("frontend");
    environment.insert("NGINX_LOCAL_RESOLVERS".to_owned(), "127.0.0.1".to_owned());
    for (name, value) in &environment {
        assert!(config.contains(&format!("${{{name}}}")), "the template does not use {name}");
        config = config.replace(&format!("${{{name}}}"), value);
    }
    assert!(!config.replace("# ", "").contains("${"), "a variable of the template is not set: {config}");
    let local = |path: &str| directory.join(path).display().to_string();
    for (path, here) in [
        ("/tmp/", local("")),
        ("/srv/frontend", local("srv")),
        ("/etc/nginx/mime.types", local("mime.types")),
    ] {
        assert!(config.contains(path), "{path}");
        config = config.replace(path, &here);
    }
    std::fs::write(directory.join("nginx.conf"), config).unwrap();

    let mut command = Command::new(nginx::binary());
    command.arg("-c").arg(directory.join("nginx.conf"));
    // A single process, because workers would outlive a killed master.
    command.args(["-g", "daemon off; master_process off;"]);
    running.spawn("frontend", command, environment);
}

/// The headers that nginx and the API must set alike.
const HEADERS: [&str; 5] = [
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "x-frame-options",
    "cache-control",
];

fn compared_headers(headers: &HeaderMap) -> Vec<(&'static str, Vec<String>)> {
    let all = |name: &'static str| {
        let values = headers.get_all(HeaderName::from_static(name)).iter();
        (name, values.map(|value| value.to_str().unwrap().to_owned()).collect())
    };
    HEADERS.into_iter().map(all).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_serves_the_page_as_the_api_does() {
    let mut running = Running::new(one_node());
    start(&mut running);
    let static_dir = running.directory().join("frontend/srv").display().to_string();
    let mut environment = running.environment("api");
    environment.insert("API_STATIC_DIR".to_owned(), static_dir);
    running.spawn("api", Command::new(e2e::process::binary("api")), environment);
    running.healthy("frontend").await;
    let (frontend, api) = (running.url("frontend", 8080), running.url("api", 8082));
    testkit::eventually("the API serves the page", || async { reqwest::get(&api).await.ok() }).await;

    let paths =
        ["/", "/index.html", "/users/42", "/auth/callback?code=x", "/favicon.svg", "/assets/app-1a2b3c.js"];
    let others = [
        "/assets/app-1a2b3c.css",
        "/assets/gone.js",
        "/config.json",
        "/api/openapi.json",
        "/api/me",
        "/api/nothing",
    ];
    for path in paths.into_iter().chain(others) {
        let [by_nginx, by_api] =
            [&frontend, &api].map(|url| Client::new().get(format!("{url}{path}")).send());
        let (by_nginx, by_api) = (by_nginx.await.unwrap(), by_api.await.unwrap());
        assert_eq!(by_nginx.status(), by_api.status(), "{path}");
        assert_eq!(compared_headers(by_nginx.headers()), compared_headers(by_api.headers()), "{path}");
        assert_eq!(by_nginx.text().await.unwrap(), by_api.text().await.unwrap(), "{path}");
    }
    for path in ["/metrics", "/readyz"] {
        let answer = reqwest::get(format!("{frontend}{path}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path} is internal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_api_the_page_is_served_and_no_personal_data_is_logged() {
    let mut running = Running::new(one_node());
    start(&mut running);
    running.healthy("frontend").await;
    let url = running.url("frontend", 8080);
    let page = reqwest::get(format!("{url}/auth/callback?code=secret-code")).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let refused = reqwest::get(format!("{url}/api/users?search=mary")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
    let log = std::fs::read_to_string(running.directory().join("frontend.log")).unwrap();
    assert!(!log.contains("secret-code") && !log.contains("mary") && !log.contains("127.0.0.1"), "{log}");
}
