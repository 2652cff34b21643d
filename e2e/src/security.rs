//! Certificates and credentials for a NATS server, generated for one test.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A certificate authority with a certificate for a server on 127.0.0.1 and one for a client.
pub struct Certificates(TempDir);

impl Certificates {
    /// Generates keys and certificates.
    pub fn generate() -> Self {
        let directory = tempfile::tempdir().expect("creating a directory");
        let key = || rcgen::KeyPair::generate().expect("generating a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = key();
        let certificate = authority.self_signed(&authority_key).expect("signing a certificate");
        let write = |file: &str, pem: String| {
            std::fs::write(directory.path().join(file), pem).expect("writing a file");
        };
        write("ca.pem", certificate.pem());
        let issuer = Issuer::new(authority, authority_key);
        for (name, host) in [("server", "127.0.0.1"), ("client", "client.example")] {
            let own = CertificateParams::new(vec![host.to_owned()]).expect("a certificate for a host");
            let own_key = key();
            let certificate = own.signed_by(&own_key, &issuer).expect("signing a certificate");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}-key.pem"), own_key.serialize_pem());
        }
        Self(directory)
    }

    /// Path of the PEM file of `ca`, `server`, `server-key`, `client` or `client-key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }

    /// nats-server configuration that requires TLS and client certificates.
    pub fn server_settings(&self) -> String {
        let file = |name| self.file(name).display().to_string();
        let [certificate, key, ca] = ["server", "server-key", "ca"].map(file);
        format!(r#"tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca}", verify: true }}"#)
    }
}

/// An operator, an account, and credentials files of its users, as `nsc` generates them.
pub struct Credentials {
    directory: TempDir,
    settings: String,
}

impl Credentials {
    /// Generates operator, account and users. The users have all permissions in the account.
    pub fn generate() -> Self {
        let directory = tempfile::tempdir().expect("creating a directory");
        let (operator, system, account) =
            (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let unlimited = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1});
        let mut with_streams = unlimited.clone();
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            with_streams[limit] = json!(-1);
        }
        let operator_token = token(&operator, &operator, "operator", json!({}));
        let system_token = token(&operator, &system, "account", json!({"limits": unlimited}));
        let account_token = token(&operator, &account, "account", json!({"limits": with_streams}));
        let (system, account_name) = (system.public_key(), account.public_key());
        let settings = format!(
            "operator: {operator_token}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {system}: {system_token}, {account_name}: {account_token} }}\n"
        );
        let credentials = Self { directory, settings };
        for user in ["ingress", "projector", "api", "consumer", "admin"] {
            credentials.write(user, &account);
        }
        credentials
    }

    fn write(&self, user: &str, account: &KeyPair) {
        let key = KeyPair::new_user();
        let token = token(account, &key, "user", json!({"subs": -1, "data": -1, "payload": -1}));
        let seed = key.seed().expect("a new key has a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(self.file(user), text).expect("writing a file");
    }

    /// Path of a user's credentials file.
    pub fn file(&self, user: &str) -> PathBuf {
        Path::new(self.directory.path()).join(format!("{user}.creds"))
    }

    /// nats-server configuration that accepts these users.
    pub fn server_settings(&self) -> &str {
        &self.settings
    }
}

/// A NATS JWT about `subject`, signed by `issuer`. `claims` are its `nats` claims.
fn token(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut claims: Value) -> String {
    claims["type"] = json!(kind);
    claims["version"] = json!(2);
    let id = runtime::clock::new_id().simple().to_string();
    let now = runtime::clock::now().unix_seconds();
    let payload = json!({"jti": id, "iat": now, "iss": issuer.public_key(), "name": kind,
        "sub": subject.public_key(), "nats": claims});
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let signed = [head, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = issuer.sign(signed.as_bytes()).expect("signing a token");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
