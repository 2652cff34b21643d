//! A real nginx server for one test.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Main configuration around the tested site. It ignores the API's `X-Accel-Buffering` and compresses
/// everything, so the feed works only if the site's own configuration turns buffering and compression off.
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

/// A running nginx with its own directory; killed and removed on drop.
pub struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    /// Starts nginx with these files (name and content) and waits until it listens. It includes `site.conf`.
    pub async fn start(files: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().expect("creating a directory for nginx");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("writing nginx configuration");
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

    /// Content of nginx's error log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }

    /// Waits until nginx has opened its ports, which is when it writes its pid file.
    async fn listens(&mut self) {
        let pid = self.directory.path().join("nginx.pid");
        while !pid.exists() {
            let ended = self.process.try_wait().expect("a child can be asked for its status");
            assert!(ended.is_none(), "nginx does not start:\n{}", self.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Path of nginx: `NGINX_SERVER`, else the one that `make` downloaded to `.tools`, else the one on the
/// `PATH`.
///
/// The variable is not called `NGINX`, because nginx itself reads that one for inherited sockets.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NGINX_SERVER") {
        return path.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/nginx/usr/sbin/nginx");
    if tools.exists() { tools } else { "nginx".into() }
}
