//! A real nginx for one test.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// What surrounds a site. It would spoil a feed that the site itself does not take care of: what the API asks of nginx is
/// not listened to, and everything is compressed.
const SURROUNDINGS: &str = "\
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    proxy_ignore_headers X-Accel-Buffering;
    gzip on;
    gzip_types *;
    gzip_proxied any;
    gzip_min_length 1;
    include site.conf;
}
";

/// An nginx with a directory of its own; killed and removed on drop.
pub struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    /// Starts it with files of configuration, by their names, of which `site.conf` is read first. Waits until it listens.
    pub async fn start(files: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().expect("making a directory for nginx");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("writing a configuration of nginx");
        };
        write("nginx.conf", SURROUNDINGS);
        for (name, text) in files {
            write(name, text);
        }
        let process = Command::new(binary())
            .arg("-p")
            .arg(directory.path())
            .args(["-e", "error.log", "-c", "nginx.conf"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run `make test`", binary().display()));
        let mut nginx = Self { process, directory };
        nginx.listens().await;
        nginx
    }

    /// What it complained about.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }

    /// It writes its id when its ports are open.
    async fn listens(&mut self) {
        let pid = self.directory.path().join("nginx.pid");
        while !pid.exists() {
            let ended = self.process.try_wait().expect("a child can be asked for its status");
            assert!(ended.is_none(), "nginx does not start:\n{}", self.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// `NGINX`, else what `make` put into `.tools`, else the one on the PATH.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NGINX") {
        return path.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/nginx/usr/sbin/nginx");
    if tools.exists() { tools } else { "nginx".into() }
}
