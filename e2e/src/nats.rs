//! The NATS servers of a system: one server, a cluster, or those of another system.

use domain::key::Namespace;
use runtime::config::NatsConfig;
use testkit::{NatsCluster, NatsServer};

use crate::security::{Certificates, Credentials};

/// The NATS servers, namespace and credentials of one system.
pub struct Nats {
    servers: Servers,
    namespace: Namespace,
    access: Access,
}

/// How clients authenticate.
enum Access {
    Passwords,
    Certificates(Certificates),
    Credentials(Credentials),
}

enum Servers {
    One(NatsServer),
    Cluster(NatsCluster),
    /// Servers of another system; only that system may stop and start them.
    Shared(String),
}

impl Nats {
    /// A new server on which each process has the permissions of its user.
    pub async fn server() -> Self {
        Self::on(NatsServer::guarded().await)
    }

    /// A new server without permissions, for tests with other namespaces than the permissions cover.
    pub async fn open_server() -> Self {
        Self::on(NatsServer::start().await)
    }

    /// Uses this server.
    pub fn on(server: NatsServer) -> Self {
        Self::with(Servers::One(server), Namespace::default(), Access::Passwords)
    }

    /// A new server that requires TLS with client certificates.
    pub async fn with_certificates() -> Self {
        let certificates = Certificates::generate();
        let settings = format!("include users.conf\n{}\n", certificates.server_settings());
        let server = Servers::One(NatsServer::start_with(&settings).await);
        Self::with(server, Namespace::default(), Access::Certificates(certificates))
    }

    /// A new server whose users are defined by JWTs.
    pub async fn with_credentials() -> Self {
        let credentials = Credentials::generate();
        let server = Servers::One(NatsServer::start_with(credentials.server_settings()).await);
        Self::with(server, Namespace::default(), Access::Credentials(credentials))
    }

    /// A new server with these lines of configuration.
    pub async fn server_with(settings: &str) -> Self {
        Self::on(NatsServer::start_with(settings).await)
    }

    /// A new cluster of three nodes; streams have three replicas.
    pub async fn cluster() -> Self {
        let cluster = Servers::Cluster(NatsCluster::start().await);
        Self::with(cluster, Namespace::default(), Access::Passwords)
    }

    fn with(servers: Servers, namespace: Namespace, access: Access) -> Self {
        Self { servers, namespace, access }
    }

    /// Another system's view of the same servers, under another namespace.
    #[must_use]
    pub fn beside(&self, namespace: Namespace) -> Self {
        Self::with(Servers::Shared(self.url()), namespace, Access::Passwords)
    }

    /// The same servers under this namespace.
    #[must_use]
    pub fn named(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// URLs of the servers, separated by commas.
    pub fn url(&self) -> String {
        match &self.servers {
            Servers::One(server) => server.url(),
            Servers::Cluster(cluster) => cluster.url(),
            Servers::Shared(url) => url.clone(),
        }
    }

    /// Environment variables with which a process connects as this user.
    pub fn environment(&self, user: &str) -> Vec<(&'static str, String)> {
        let common = vec![("NATS_URL", self.url()), ("NATS_NAMESPACE", self.namespace.to_string())];
        let password =
            || vec![("NATS_USER", user.to_owned()), ("NATS_PASSWORD", testkit::nats::password(user))];
        let own = match &self.access {
            Access::Passwords => password(),
            Access::Certificates(certificates) => {
                let file = |name| certificates.file(name).display().to_string();
                let files = [
                    ("NATS_URL", self.url().replace("nats://", "tls://")),
                    ("NATS_CA_FILE", file("ca")),
                    ("NATS_CERTIFICATE_FILE", file("client")),
                    ("NATS_KEY_FILE", file("client-key")),
                ];
                [password(), files.into()].concat()
            }
            Access::Credentials(credentials) => {
                vec![("NATS_CREDENTIALS_FILE", credentials.file(user).display().to_string())]
            }
        };
        [common, own].concat()
    }

    /// Number of replicas of each stream.
    pub fn n_replicas(&self) -> usize {
        match &self.servers {
            Servers::One(_) | Servers::Shared(_) => 1,
            Servers::Cluster(_) => testkit::cluster::N_NODES,
        }
    }

    /// Connects in the system's namespace, with all permissions.
    pub async fn connect(&self) -> runtime::nats::Nats {
        let mut config = testkit::nats::config(self.url(), self.namespace.clone());
        match &self.access {
            Access::Passwords => {}
            Access::Certificates(certificates) => {
                config.nats_ca_file = Some(certificates.file("ca"));
                config.nats_certificate_file = Some(certificates.file("client"));
                config.nats_key_file = Some(certificates.file("client-key"));
            }
            Access::Credentials(credentials) => {
                config = NatsConfig::plain(self.url(), self.namespace.clone());
                config.nats_credentials_file = Some(credentials.file("admin"));
            }
        }
        testkit::nats::connect_with(&config).await
    }

    /// Kills every server (SIGKILL).
    pub async fn kill(&mut self) {
        match &mut self.servers {
            Servers::One(server) => server.kill().await,
            Servers::Cluster(cluster) => cluster.kill_all().await,
            Servers::Shared(_) => panic!("these servers belong to another system"),
        }
    }

    /// Kills and restarts every server.
    pub async fn restart(&mut self) {
        match &mut self.servers {
            Servers::One(server) => server.restart().await,
            Servers::Cluster(cluster) => cluster.restart_all().await,
            Servers::Shared(_) => panic!("these servers belong to another system"),
        }
    }

    /// The single server, for example to pause it.
    pub fn as_server(&self) -> &NatsServer {
        match &self.servers {
            Servers::One(server) => server,
            Servers::Cluster(_) | Servers::Shared(_) => panic!("this system has no single server of its own"),
        }
    }

    /// The cluster, for example to kill one node.
    pub fn as_cluster(&mut self) -> &mut NatsCluster {
        match &mut self.servers {
            Servers::Cluster(cluster) => cluster,
            Servers::One(_) | Servers::Shared(_) => panic!("this system has no cluster of its own"),
        }
    }
}
